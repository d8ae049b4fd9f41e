/*
 * The C interface of feedproxy's local client: one upstream WebSocket, shared with every other program of this user, read
 * in place from shared memory. C99 or C++; Linux. #include <feedproxy/feedproxy_client.h> and link libfeedproxy-client.so:
 * `pkg-config --cflags --libs feedproxy-client-c`, or feedproxy::client-c of CMake's find_package(feedproxy).
 *
 *     fp_client* client = fp_client_create("momentum-1", NULL);
 *     if (client == NULL) { fprintf(stderr, "%s\n", fp_error_text(NULL)); return 1; }
 *     fp_open_options what = {sizeof what, "wss://stream.data.alpaca.markets/v2/iex", "ALPACA"};
 *     fp_feed feed;
 *     if (fp_open(client, &what, &feed, NULL) != FP_OK) { fprintf(stderr, "%s\n", fp_error_text(client)); return 1; }
 *     fp_subscribe(client, feed, "AAPL", "trades", NULL, NULL, NULL);
 *     fp_message message;
 *     fp_gap gap;
 *     for (;;) switch (fp_next(client, feed, &message, &gap)) {
 *       case FP_PULL_MESSAGE: use(message.payload, message.length); break;
 *       case FP_PULL_GAP:     resync(&gap); break;
 *       case FP_PULL_NONE:    fp_wait(client, feed, 1000000000); break;
 *       default:              fp_client_destroy(client); return 0;
 *     }
 *
 * Errors: a call that can fail returns an fp_error other than FP_OK, or what its comment says; fp_error_text() then has
 * one sentence. Nothing throws, nothing ends the process. A NULL where none is allowed is FP_ERROR_BAD_REQUEST.
 *
 * Threads: one at a time for everything that takes an fp_client; what takes an fp_log alone, any. Different clients have
 * nothing to do with each other.
 *
 * Lifetimes: a payload lies in the mapped log of its feed. It can be read until the next fp_next() or fp_read() of this
 * feed, its fp_close() and fp_client_destroy(), and beyond all of them as long as the caller holds the log with
 * fp_log_retain(message.log): that address range stays mapped until fp_log_release(), also when the proxy is gone. What
 * *stands* there stays until the publisher comes round the ring: read, then ask fp_message_intact(). The payload of a
 * message with `assembled` set is a copy that belongs to the feed: retaining the log does not prolong its life.
 *
 * Strings: UTF-8, ended by NUL; those that are given may go when the call returns. NULL is the empty one.
 */
#ifndef FEEDPROXY_CLIENT_H
#define FEEDPROXY_CLIENT_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A program that compiles feedproxy_client.cpp into itself may define it as empty. */
#ifndef FP_API
#define FP_API __attribute__((visibility("default")))
#endif

/* Of this header. The shared library's SONAME ends with it, and its symbols carry it (FEEDPROXY_CLIENT_1). Structures
 * whose first member is `size` may grow at their end within one version; the others do not change. */
#define FP_ABI_VERSION 1

/* Feeds one client may have open at a time; one more is FP_ERROR_TOO_MANY. */
#define FP_FEEDS_MAX 16
/* Bytes of one message to the venue; one more is FP_ERROR_TOO_LARGE. */
#define FP_SEND_BYTES_MAX 65536

/* The version the library was built with; FP_ABI_VERSION is what the program was compiled with. thread: any. */
FP_API uint32_t fp_abi_version(void);

/* ---- Errors ---- */

typedef enum fp_error {
  FP_OK = 0,
  FP_ERROR_NO_PROXY = 1,      /* Nobody listens at the path, and none was to be spawned. */
  FP_ERROR_SPAWN_FAILED = 2,  /* The proxy could not be started. */
  FP_ERROR_WRONG_VERSION = 3, /* The proxy speaks another version of the protocol. */
  FP_ERROR_NOT_ALLOWED = 4,   /* Another user, a wrong token, a URL that is not allowed. */
  FP_ERROR_TOO_MANY = 5,      /* A bound was reached. */
  FP_ERROR_BAD_REQUEST = 6,   /* Malformed, or it contradicts itself. */
  FP_ERROR_NO_SUCH_FEED = 7,  /* The feed is not an open one of this client. */
  FP_ERROR_VENUE_REFUSED = 8, /* The venue said no; the text has its words. */
  FP_ERROR_UPSTREAM_DOWN = 9, /* Not connected to the venue at the moment. */
  FP_ERROR_TIMED_OUT = 10,    /* No answer in time. */
  FP_ERROR_TOO_LARGE = 11,    /* More bytes than a packet or a message takes. */
  FP_ERROR_PROXY_LOST = 12,   /* The proxy ended while it was being asked, or before. */
  FP_ERROR_SYSTEM = 13,       /* The kernel refused, or memory ran out; the text says what. */
  FP_ERROR_STOPPING = 14,     /* The proxy is going away. */
  FP_ERROR_LAST = 0x7fffffff  /* Never told; a newer proxy may have codes that stand here not yet. */
} fp_error;

typedef struct fp_client fp_client;

/* The last failure of a call with this client, one sentence; "" if none failed. NULL: of the last fp_client_create() of
 * this thread. Valid until the next call with this client (this thread's next fp_client_create()). */
FP_API const char* fp_error_text(const fp_client* client);
/* Its code. */
FP_API fp_error fp_error_code(const fp_client* client);

/* ---- The client ---- */

/* Zero in any member is its default, so {sizeof(fp_client_options)} is all defaults. */
typedef struct fp_client_options {
  size_t size;       /* sizeof(fp_client_options) of the program: says which members it knows. */
  const char* path;  /* The proxy's socket; default: $XDG_RUNTIME_DIR/feedproxy/default.sock. */
  /* What to start when no proxy is there: the program, its arguments, NULL. Default: nothing. At most 256 words. */
  const char* const* spawn;
  const char* token;  /* Presented to the proxy, if it asks for one. */
  int64_t timeout_ms; /* For finding or starting the proxy and for each blocking call; default 10,000. */
  int64_t spin_ns;    /* fp_wait() spins so long before it sleeps; default 20,000; -1: not at all. */
  /* 1: come back to a proxy that was restarted (start it, if spawn says what), open again what was open and subscribe
   * again to what was subscribed. Tried in fp_wait(), fp_arm() and the reading calls every 100 ms. */
  uint8_t reconnect;
  uint8_t lazy_mapping; /* 1: map the pages of a log when they are first read, not when it is opened. */
  uint8_t reserved[6];  /* 0. */
} fp_client_options;

/* Connects, and starts the proxy if nobody is there and options->spawn says how. Blocks up to timeout_ms.
 * name: 1 to 64 letters, digits and -_.: characters, shown to people. options: NULL for the defaults.
 * returns NULL on failure: fp_error_text(NULL), fp_error_code(NULL). thread: any. */
FP_API fp_client* fp_client_create(const char* name, const fp_client_options* options);
/* Closes everything. Logs that are retained stay. NULL: nothing happens. */
FP_API void fp_client_destroy(fp_client* client);

/* The proxy's process; 0 while there is none. */
FP_API int64_t fp_server_pid(const fp_client* client);
/* The proxy's version, "" before there was one. Valid until the next call with this client. */
FP_API const char* fp_server_version(const fp_client* client);
/* 1: there is a proxy. */
FP_API int fp_connected(const fp_client* client);
/* The proxy's state as JSON (feeds, clients, cursors), valid until the next fp_status(). Blocks. NULL on failure. */
FP_API const char* fp_status(fp_client* client);

typedef enum fp_log_level {
  FP_LOG_TRACE = 0,
  FP_LOG_DEBUG = 1,
  FP_LOG_INFO = 2,
  FP_LOG_WARN = 3,
  FP_LOG_ERROR = 4,
  FP_LOG_OFF = 5
} fp_log_level;

/* Lines of the proxy's log of at least this level (an fp_log_level) come as notices from now on. Blocks. */
FP_API fp_error fp_set_log_level(fp_client* client, int level);

/* ---- Feeds: calls that block, up to options.timeout_ms and a second ---- */

/* Names one open feed of one client; stays the same when the proxy is restarted, is never used again. 0: none. */
typedef uint32_t fp_feed;

/* Zero in any member is its default. */
typedef struct fp_open_options {
  size_t size;             /* sizeof(fp_open_options) of the program. */
  const char* url;         /* Default: the upstream of the proxy's own configuration. */
  const char* credentials; /* NAME: the proxy's environment has NAME_KEY and NAME_SECRET. Never the secret. */
  const char* headers;     /* "Name: value" lines of the handshake. */
  const char* subprotocol;
  const char* venue;   /* raw, binance, alpaca; default: what the host's name says, else raw. */
  uint8_t now;         /* 1: be answered at once, whatever state the upstream is in. */
  /* 1: begin with the newest message of each topic that the proxy still knows
   * (fp_message.last_value), then go on with the log, without a gap or a duplicate. A library that is
   * too old for it says FP_ERROR_BAD_REQUEST. */
  uint8_t last_values;
  uint8_t reserved[6]; /* 0. */
} fp_open_options;

/* Opens an upstream, or joins the one that is open already with the same URL, credentials, headers, subprotocol and
 * venue: as they are meant, not as they are written (a venue of NULL is what the host's name says).
 * Reading starts with the first message published after the call, or with the last values before it.
 * options: NULL for the defaults. is_new: NULL, or set to 1 if this call made the upstream. */
FP_API fp_error fp_open(fp_client* client, const fp_open_options* options, fp_feed* feed, int* is_new);
/* Lets go of it. The upstream goes with its last user. */
FP_API fp_error fp_close(fp_client* client, fp_feed feed);

typedef enum fp_opcode { FP_TEXT = 1, FP_BINARY = 2 } fp_opcode;

/* One message to the venue: [length] bytes, at most FP_SEND_BYTES_MAX. opcode: an fp_opcode. */
FP_API fp_error fp_send(fp_client* client, fp_feed feed, const void* bytes, size_t length, int opcode);
/* Subscribes to kind ("trades", "depth@100ms") of symbol and returns when the venue has acknowledged it. Counted: over
 * all clients the venue is asked once, and told when the last one leaves, or dies. request, release: what to send for
 * it; needed for a raw upstream, NULL for the others. existing: NULL, or set to 1 if it was subscribed before. */
FP_API fp_error fp_subscribe(fp_client* client, fp_feed feed, const char* symbol, const char* kind,
                             const char* request, const char* release, int* existing);
FP_API fp_error fp_unsubscribe(fp_client* client, fp_feed feed, const char* symbol, const char* kind);

/* ---- The same without waiting: the answer comes as a notice with the number of the request ---- */

FP_API fp_error fp_open_async(fp_client* client, const fp_open_options* options, uint32_t* request);
FP_API fp_error fp_close_async(fp_client* client, fp_feed feed, uint32_t* request);
FP_API fp_error fp_send_async(fp_client* client, fp_feed feed, const void* bytes, size_t length,
                              int opcode, uint32_t* request);
FP_API fp_error fp_subscribe_async(fp_client* client, fp_feed feed, const char* symbol, const char* kind,
                                   const char* request_text, const char* release, uint32_t* request);
FP_API fp_error fp_unsubscribe_async(fp_client* client, fp_feed feed, const char* symbol,
                                     const char* kind, uint32_t* request);

typedef enum fp_notice_kind {
  FP_NOTICE_OPENED = 0,         /* feed; flag: is_new. The answer to request. */
  FP_NOTICE_DONE = 1,           /* The answer to request: sent, subscribed (flag: existing), unsubscribed, closed. */
  FP_NOTICE_FAILED = 2,         /* The answer to request: error and text. */
  FP_NOTICE_UPSTREAM_READY = 3, /* feed */
  FP_NOTICE_UPSTREAM_LOST = 4,  /* feed; text: why. The proxy tries again by itself. */
  FP_NOTICE_CLOSED = 5,         /* feed; text: why. For good: what is left in the log can still be read. */
  FP_NOTICE_PROXY_LOST = 6,     /* text */
  FP_NOTICE_PROXY_BACK = 7,     /* The feeds are being opened again. */
  FP_NOTICE_LOG = 8,            /* level, text: a line of the proxy's log. */
  FP_NOTICE_PROXY_REPLACED = 9  /* text: its version. Another process goes on with everything. */
} fp_notice_kind;

typedef struct fp_notice {
  uint32_t kind;    /* An fp_notice_kind. A program ignores what it does not know. */
  uint32_t request; /* 0: the answer to none. */
  fp_feed feed;     /* 0: of none. */
  uint32_t flag;
  uint32_t error;   /* An fp_error. */
  uint32_t level;   /* An fp_log_level. */
  const char* text; /* Valid until the next notice is taken; never NULL. */
} fp_notice;

/* What happened beside the messages, in the order it happened: 1, one is in *notice; 0, there is none; -1, failure.
 * At most 10,000 are kept; then the oldest that answers no request goes. */
FP_API int fp_next_notice(fp_client* client, fp_notice* notice);
/* The answer to a request, taken out of the notices, however many stand before it; waits for it at most timeout_ms.
 * 1: it is in *notice; 0: not there yet; -1: failure. */
FP_API int fp_answer(fp_client* client, uint32_t request, int64_t timeout_ms, fp_notice* notice);

/* ---- Reading ---- */

/* One mapped log, counted: what payloads point into. */
typedef struct fp_log fp_log;

/* Keeps the log mapped. returns log. thread: any. */
FP_API fp_log* fp_log_retain(fp_log* log);
/* Gives back what fp_log_retain() took; the last one unmaps. NULL: nothing happens. thread: any. */
FP_API void fp_log_release(fp_log* log);
/* 1: what was read up to now from the payload of the message at this offset was the message. 0: throw it away, the
 * publisher has come round. The caller holds the log. thread: any. */
FP_API int fp_log_intact(const fp_log* log, uint64_t offset);

/* The stages of a message, in the order of fp_message.stamps. */
#define FP_STAMPS 6
enum { FP_STAMP_NIC, FP_STAMP_WAKE, FP_STAMP_READ, FP_STAMP_PLAIN, FP_STAMP_PARSED, FP_STAMP_HANDLER };

/* One complete message of the venue. 128 bytes, the same in every version of the interface. */
typedef struct fp_message {
  const uint8_t* payload; /* [length]; see "Lifetimes" above. Nothing is copied, unless `assembled` is set. */
  uint64_t length;
  uint64_t sequence;          /* From 1, without a hole unless a gap was reported. */
  uint64_t stamps[FP_STAMPS]; /* Ticks of the invariant TSC; 0: absent. */
  uint64_t offset;            /* In the stream, for fp_log_intact(). */
  fp_log* log;                /* The feed's; NULL if assembled. */
  fp_feed feed;
  uint32_t topic;    /* 0: none. */
  uint8_t opcode;    /* An fp_opcode. */
  /* 1: a copy: put together from fragments, or a last value. Valid until the next message of the feed
   * is taken. */
  uint8_t assembled;
  /* 1: published before this client joined, the newest of its topic then
   * (fp_open_options.last_values). A copy, so `assembled` is set too, and without stamps. */
  uint8_t last_value;
  uint8_t reserved[29];
} fp_message;

/* fp_log_intact() of the message's log; 1 for an assembled one. thread: any. */
FP_API int fp_message_intact(const fp_message* message);

typedef enum fp_gap_reason {
  FP_GAP_LAPPED = 0,        /* This client was too slow: the publisher came round. The numbers are exact. */
  FP_GAP_UPSTREAM_LOST = 1, /* The proxy's upstream was gone for a while: how much came then, nobody knows. */
  FP_GAP_PROXY_LOST = 2     /* The proxy was: likewise. */
} fp_gap_reason;

#define FP_UNKNOWN UINT64_MAX

typedef struct fp_gap {
  uint64_t missed_messages; /* FP_UNKNOWN where nobody can know. */
  uint64_t missed_bytes;    /* Wire bytes, frame headers included; FP_UNKNOWN likewise. */
  uint32_t reason;          /* An fp_gap_reason. */
  uint32_t reserved;
} fp_gap;

typedef enum fp_pull {
  FP_PULL_ERROR = -1,  /* See fp_error_text(). */
  FP_PULL_MESSAGE = 0, /* *message is the next one. */
  FP_PULL_NONE = 1,    /* Nothing new. */
  FP_PULL_GAP = 2,     /* *gap says what is missing before the next message. */
  FP_PULL_CLOSED = 3   /* Nothing more will come: the feed was closed, or ended, or is none of this client. */
} fp_pull;

/* The next message of one feed, or what else there is. Cost: two shared cache lines, no system call; about every 4,096th
 * time that there is nothing, a look at the socket. */
FP_API fp_pull fp_next(fp_client* client, fp_feed feed, fp_message* message, fp_gap* gap);
/* As many messages as there are, up to messages_max, all of them of one log. *messages_count is how many; the return
 * value says what comes behind them: FP_PULL_MESSAGE, messages_max were found (or the last is an assembled one: ask
 * again); FP_PULL_GAP, the gap in *gap; FP_PULL_NONE; FP_PULL_CLOSED. */
FP_API fp_pull fp_read(fp_client* client, fp_feed feed, fp_message* messages, size_t messages_max,
                       size_t* messages_count, fp_gap* gap);

/* How far behind the publisher this client is, in messages; 0 for a feed that is not open. */
FP_API uint64_t fp_lag(const fp_client* client, fp_feed feed);
/* 1: fp_next() of this feed (0: of some feed) has something to say. */
FP_API int fp_readable(const fp_client* client, fp_feed feed);

/* Sleeps until a message or gap of this feed (0: of any) or a new notice is there (1), or timeout_ns have passed (0).
 * -1: failure. A signal does not end it: for one that must be answered, wait in parts. */
FP_API int fp_wait(fp_client* client, fp_feed feed, int64_t timeout_ns);

/* For a loop of one's own (epoll, asyncio): becomes readable when a message or a notice is there, after fp_arm() said
 * that nothing is. The client's; do not read or close it. -1: failure. */
FP_API int fp_fd(fp_client* client);
/* 1: nothing is there (of this feed, or of any if 0), and fp_fd() will tell. 0: something is, or there is no proxy: do
 * not sleep. Notices count: take them all before. -1: failure. */
FP_API int fp_arm(fp_client* client, fp_feed feed);

#ifdef __cplusplus
}
#endif

#endif
