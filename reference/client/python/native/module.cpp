// feedproxy._native: the C interface as Python objects. The package's Python modules make the API of it.
//
// Threads: each client has a lock, which a call takes before it touches the client; calls that may wait give up the GIL.
// No Python code runs while a lock is held: what is made then are objects that the garbage collector does not track.
// Memory: a Message holds the Log it points into (or a copy), so its payload cannot dangle, whatever is closed.
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <new>
#include <string>
#include <vector>

#include "reference/client/c/feedproxy_client.h"

namespace {

constexpr std::size_t kBatch = 64;  // messages that a feed takes from the log at a time

PyTypeObject* log_type = nullptr;
PyTypeObject* message_type = nullptr;
PyTypeObject* stamps_type = nullptr;
PyObject* error_class = nullptr;   // feedproxy.Error(code, text)
PyObject* lapped_class = nullptr;  // feedproxy.Lapped(text)
PyObject* idle_name = nullptr;     // "_idle"
PyObject* gap_name = nullptr;      // "_gap"

template <class Function>
PyCFunction method(Function* function) {
  return reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(function));
}
template <class Function>
void* slot(Function* function) {
  return reinterpret_cast<void*>(function);
}
template <class Object>
Object* as(PyObject* object) {
  return reinterpret_cast<Object*>(object);
}

PyObject* raise(fp_error code, const char* text) {
  PyObject* const error = PyObject_CallFunction(error_class, "is", static_cast<int>(code), text);
  if (error == nullptr) return nullptr;
  PyErr_SetObject(error_class, error);
  Py_DECREF(error);
  return nullptr;
}

void free_object(PyObject* self) {
  PyTypeObject* const type = Py_TYPE(self);
  type->tp_free(self);
  Py_DECREF(type);
}

// Log: a mapped feed log, as long as somebody points into it.

struct Log {
  PyObject base;
  fp_log* log;
};

PyObject* make_log(fp_log* log) {
  Log* const made = PyObject_New(Log, log_type);
  if (made != nullptr) made->log = fp_log_retain(log);
  return reinterpret_cast<PyObject*>(made);
}

void log_dealloc(PyObject* self) {
  fp_log_release(as<Log>(self)->log);
  free_object(self);
}

// Message.

struct Message {
  PyObject base;
  PyObject* owner;  // a Log, or bytes: of what payload points into
  fp_message message;
};

Message* make_message(const fp_message& message, PyObject* owner) {
  Message* const made = PyObject_New(Message, message_type);
  if (made == nullptr) return nullptr;
  made->message = message;
  made->owner = owner;
  Py_INCREF(owner);
  return made;
}

void message_dealloc(PyObject* self) {
  Py_DECREF(as<Message>(self)->owner);
  free_object(self);
}

/// The publisher may be writing there: what is made of these bytes is made of a copy, and told only if it is whole.
PyObject* message_bytes(PyObject* self, PyObject*) {
  const fp_message& message = as<Message>(self)->message;
  PyObject* const copy =
      PyBytes_FromStringAndSize(nullptr, static_cast<Py_ssize_t>(message.length));
  if (copy == nullptr) return nullptr;
  if (message.length > 0) std::memcpy(PyBytes_AS_STRING(copy), message.payload, message.length);
  if (fp_message_intact(&message) != 0) return copy;
  Py_DECREF(copy);
  PyErr_Format(lapped_class,
               "message %llu is gone: the publisher has come round the ring since it was read",
               static_cast<unsigned long long>(message.sequence));
  return nullptr;
}

PyObject* message_text(PyObject* self, void*) {
  PyObject* const copy = message_bytes(self, nullptr);
  if (copy == nullptr) return nullptr;
  PyObject* const text =
      PyUnicode_DecodeUTF8(PyBytes_AS_STRING(copy), PyBytes_GET_SIZE(copy), "strict");
  Py_DECREF(copy);
  return text;
}

PyObject* message_intact(PyObject* self, PyObject*) {
  return PyBool_FromLong(fp_message_intact(&as<Message>(self)->message));
}

PyObject* message_payload(PyObject* self, void*) { return PyMemoryView_FromObject(self); }

int message_buffer(PyObject* self, Py_buffer* view, int flags) {
  const fp_message& message = as<Message>(self)->message;
  return PyBuffer_FillInfo(view, self, const_cast<std::uint8_t*>(message.payload),
                           static_cast<Py_ssize_t>(message.length), 1, flags);
}

PyObject* message_stamps(PyObject* self, void*) {
  PyObject* const stamps = PyStructSequence_New(stamps_type);
  if (stamps == nullptr) return nullptr;
  for (Py_ssize_t i = 0; i < FP_STAMPS; ++i) {
    PyObject* const ticks = PyLong_FromUnsignedLongLong(as<Message>(self)->message.stamps[i]);
    if (ticks == nullptr) {
      Py_DECREF(stamps);
      return nullptr;
    }
    PyStructSequence_SetItem(stamps, i, ticks);
  }
  return stamps;
}

PyObject* message_repr(PyObject* self) {
  const fp_message& message = as<Message>(self)->message;
  return PyUnicode_FromFormat("<feedproxy.Message %llu, %llu bytes>",
                              static_cast<unsigned long long>(message.sequence),
                              static_cast<unsigned long long>(message.length));
}

PyObject* message_sequence(PyObject* self, void*) {
  return PyLong_FromUnsignedLongLong(as<Message>(self)->message.sequence);
}
PyObject* message_topic(PyObject* self, void*) {
  return PyLong_FromUnsignedLong(as<Message>(self)->message.topic);
}
PyObject* message_opcode(PyObject* self, void*) {
  return PyLong_FromLong(as<Message>(self)->message.opcode);
}
PyObject* message_assembled(PyObject* self, void*) {
  return PyBool_FromLong(as<Message>(self)->message.assembled);
}
PyObject* message_feed_id(PyObject* self, void*) {
  return PyLong_FromUnsignedLong(as<Message>(self)->message.feed);
}

// Client.

struct Client {
  PyObject base;
  fp_client* client;        // null: closed
  PyThread_type_lock lock;  // whose turn it is
  PyThread_type_lock
      next;  // who has it waits for the turn: else one that comes back at once would always be first
};

bool try_lock(PyThread_type_lock lock) {
  return PyThread_acquire_lock(lock, NOWAIT_LOCK) == PY_LOCK_ACQUIRED;
}
void wait_for_lock(PyThread_type_lock lock) {
  if (try_lock(lock)) return;
  Py_BEGIN_ALLOW_THREADS PyThread_acquire_lock(lock, WAIT_LOCK);
  Py_END_ALLOW_THREADS
}

/// The right to use a client's fp_client, for the length of a scope. Waits for other threads without the GIL.
class Use {
 public:
  explicit Use(Client* client) : lock_(client->lock) {
    wait_for_lock(client->next);
    wait_for_lock(lock_);
    PyThread_release_lock(client->next);
  }
  Use(const Use&) = delete;
  Use& operator=(const Use&) = delete;
  ~Use() { PyThread_release_lock(lock_); }

 private:
  PyThread_type_lock lock_;
};

/// What a call of the C interface said, taken along before another thread may call.
struct Outcome {
  fp_error code = FP_OK;
  std::string text;

  void take(const fp_client* client) {
    code = fp_error_code(client);
    text = fp_error_text(client);
  }
  void closed() {
    code = FP_ERROR_BAD_REQUEST;
    text = "the client is closed";
  }
  PyObject* raise_it() const { return raise(code, text.c_str()); }
};

/// Calls with the client, under its lock and the GIL; call: fp_client* -> true if all is well.
template <class Call>
bool with_client(PyObject* self, Call&& call) {
  Outcome outcome;
  {
    const Use use(as<Client>(self));
    fp_client* const client = as<Client>(self)->client;
    if (client == nullptr)
      outcome.closed();
    else if (!call(client))
      outcome.take(client);
    else
      return true;
  }
  outcome.raise_it();
  return false;
}

/// The same without the GIL. (The lock is held meanwhile, so that close() waits.)
template <class Call>
bool with_client_unlocked(PyObject* self, Call&& call) {
  return with_client(self, [&](fp_client* client) {
    bool well = false;
    Py_BEGIN_ALLOW_THREADS well = call(client);
    Py_END_ALLOW_THREADS return well;
  });
}

/// The strings of a list or tuple, for C.
bool words_of(PyObject* sequence, std::vector<std::string>& words) {
  PyObject* const fast = PySequence_Fast(sequence, "spawn must be a sequence of strings");
  if (fast == nullptr) return false;
  bool well = true;
  for (Py_ssize_t i = 0; well && i < PySequence_Fast_GET_SIZE(fast); ++i) {
    const char* const word = PyUnicode_AsUTF8(PySequence_Fast_GET_ITEM(fast, i));
    well = word != nullptr;
    if (well) words.emplace_back(word);
  }
  Py_DECREF(fast);
  return well;
}

PyObject* client_new(PyTypeObject* type, PyObject* arguments, PyObject*) {
  const char* name = nullptr;
  const char* path = nullptr;
  const char* token = nullptr;
  PyObject* spawn = nullptr;
  int reconnect = 0;
  long long timeout_ms = 0;
  if (!PyArg_ParseTuple(arguments, "szOzpL", &name, &path, &spawn, &token, &reconnect, &timeout_ms))
    return nullptr;
  std::vector<std::string> words;
  if (!words_of(spawn, words)) return nullptr;
  std::vector<const char*> pointers;
  for (const std::string& word : words) pointers.push_back(word.c_str());
  pointers.push_back(nullptr);
  fp_client_options options{};
  options.size = sizeof options;
  options.path = path;
  options.token = token;
  options.spawn = pointers.data();
  options.timeout_ms = timeout_ms;
  options.reconnect = reconnect != 0 ? 1 : 0;
  Client* const self = as<Client>(type->tp_alloc(type, 0));
  if (self == nullptr) return nullptr;
  self->client = nullptr;
  self->lock = PyThread_allocate_lock();
  self->next = PyThread_allocate_lock();
  if (self->lock == nullptr || self->next == nullptr) {
    Py_DECREF(self);
    return PyErr_NoMemory();
  }
  fp_client* made = nullptr;
  Py_BEGIN_ALLOW_THREADS made = fp_client_create(name, &options);
  Py_END_ALLOW_THREADS if (made == nullptr) {
    Py_DECREF(self);
    return raise(fp_error_code(nullptr), fp_error_text(nullptr));
  }
  self->client = made;
  return reinterpret_cast<PyObject*>(self);
}

void client_dealloc(PyObject* self) {
  fp_client_destroy(as<Client>(self)->client);
  for (const PyThread_type_lock lock : {as<Client>(self)->lock, as<Client>(self)->next})
    if (lock != nullptr) PyThread_free_lock(lock);
  free_object(self);
}

PyObject* client_close(PyObject* self, PyObject*) {
  const Use use(as<Client>(self));
  fp_client_destroy(as<Client>(self)->client);
  as<Client>(self)->client = nullptr;
  Py_RETURN_NONE;
}

PyObject* client_open(PyObject* self, PyObject* arguments) {
  fp_open_options options{};
  options.size = sizeof options;
  int now = 0;
  if (!PyArg_ParseTuple(arguments, "zzzzzp", &options.url, &options.credentials, &options.headers,
                        &options.subprotocol, &options.venue, &now))
    return nullptr;
  options.now = now != 0 ? 1 : 0;
  std::uint32_t request = 0;
  if (!with_client(self, [&](fp_client* client) {
        return fp_open_async(client, &options, &request) == FP_OK;
      }))
    return nullptr;
  return PyLong_FromUnsignedLong(request);
}

PyObject* client_close_feed(PyObject* self, PyObject* arguments) {
  unsigned feed = 0;
  if (!PyArg_ParseTuple(arguments, "I", &feed)) return nullptr;
  std::uint32_t request = 0;
  if (!with_client(
          self, [&](fp_client* client) { return fp_close_async(client, feed, &request) == FP_OK; }))
    return nullptr;
  return PyLong_FromUnsignedLong(request);
}

PyObject* client_send(PyObject* self, PyObject* arguments) {
  unsigned feed = 0;
  int opcode = 0;
  Py_buffer bytes{};
  if (!PyArg_ParseTuple(arguments, "Iy*i", &feed, &bytes, &opcode)) return nullptr;
  std::uint32_t request = 0;
  const bool well = with_client(self, [&](fp_client* client) {
    return fp_send_async(client, feed, bytes.buf, static_cast<std::size_t>(bytes.len), opcode,
                         &request) == FP_OK;
  });
  PyBuffer_Release(&bytes);
  return well ? PyLong_FromUnsignedLong(request) : nullptr;
}

PyObject* client_subscribe(PyObject* self, PyObject* arguments) {
  unsigned feed = 0;
  const char* symbol = nullptr;
  const char* kind = nullptr;
  const char* text = nullptr;
  const char* release = nullptr;
  if (!PyArg_ParseTuple(arguments, "Isszz", &feed, &symbol, &kind, &text, &release)) return nullptr;
  std::uint32_t request = 0;
  if (!with_client(self, [&](fp_client* client) {
        return fp_subscribe_async(client, feed, symbol, kind, text, release, &request) == FP_OK;
      }))
    return nullptr;
  return PyLong_FromUnsignedLong(request);
}

PyObject* client_unsubscribe(PyObject* self, PyObject* arguments) {
  unsigned feed = 0;
  const char* symbol = nullptr;
  const char* kind = nullptr;
  if (!PyArg_ParseTuple(arguments, "Iss", &feed, &symbol, &kind)) return nullptr;
  std::uint32_t request = 0;
  if (!with_client(self, [&](fp_client* client) {
        return fp_unsubscribe_async(client, feed, symbol, kind, &request) == FP_OK;
      }))
    return nullptr;
  return PyLong_FromUnsignedLong(request);
}

/// Takes a notice by `call` (fp_client*, fp_notice* -> 1, 0, -1), with or without the GIL. A tuple, None, or null.
template <class Call>
PyObject* take_notice(PyObject* self, bool unlocked, Call&& call) {
  fp_notice notice{};
  std::string text;
  int taken = 0;
  const auto take = [&](fp_client* client) {
    taken = call(client, &notice);
    if (taken == 1) text = notice.text;
    return taken >= 0;
  };
  if (!(unlocked ? with_client_unlocked(self, take) : with_client(self, take))) return nullptr;
  if (taken == 0) Py_RETURN_NONE;
  PyObject* const said =
      PyUnicode_DecodeUTF8(text.data(), static_cast<Py_ssize_t>(text.size()), "replace");
  if (said == nullptr) return nullptr;
  return Py_BuildValue("IIIOIIN", notice.kind, notice.request, notice.feed,
                       notice.flag != 0 ? Py_True : Py_False, notice.error, notice.level, said);
}

PyObject* client_answer(PyObject* self, PyObject* arguments) {
  unsigned request = 0;
  long long timeout_ms = 0;
  if (!PyArg_ParseTuple(arguments, "IL", &request, &timeout_ms)) return nullptr;
  return take_notice(self, true, [&](fp_client* client, fp_notice* notice) {
    return fp_answer(client, request, timeout_ms, notice);
  });
}

PyObject* client_next_notice(PyObject* self, PyObject*) {
  return take_notice(self, false, fp_next_notice);
}

PyObject* client_wait(PyObject* self, PyObject* arguments) {
  unsigned feed = 0;
  long long timeout_ns = 0;
  if (!PyArg_ParseTuple(arguments, "IL", &feed, &timeout_ns)) return nullptr;
  int there = 0;
  if (!with_client_unlocked(self, [&](fp_client* client) {
        return (there = fp_wait(client, feed, timeout_ns)) >= 0;
      }))
    return nullptr;
  return PyBool_FromLong(there);
}

PyObject* client_arm(PyObject* self, PyObject* arguments) {
  unsigned feed = 0;
  if (!PyArg_ParseTuple(arguments, "I", &feed)) return nullptr;
  int armed = 0;
  if (!with_client(self, [&](fp_client* client) { return (armed = fp_arm(client, feed)) >= 0; }))
    return nullptr;
  return PyBool_FromLong(armed);
}

PyObject* client_fd(PyObject* self, PyObject*) {
  int fd = -1;
  if (!with_client(self, [&](fp_client* client) { return (fd = fp_fd(client)) >= 0; }))
    return nullptr;
  return PyLong_FromLong(fd);
}

PyObject* client_readable(PyObject* self, PyObject* arguments) {
  unsigned feed = 0;
  if (!PyArg_ParseTuple(arguments, "I", &feed)) return nullptr;
  int there = 0;
  if (!with_client(self, [&](fp_client* client) {
        there = fp_readable(client, feed);
        return true;
      }))
    return nullptr;
  return PyBool_FromLong(there);
}

PyObject* client_lag(PyObject* self, PyObject* arguments) {
  unsigned feed = 0;
  if (!PyArg_ParseTuple(arguments, "I", &feed)) return nullptr;
  std::uint64_t lag = 0;
  if (!with_client(self, [&](fp_client* client) {
        lag = fp_lag(client, feed);
        return true;
      }))
    return nullptr;
  return PyLong_FromUnsignedLongLong(lag);
}

/// (pid, version)
PyObject* client_server(PyObject* self, PyObject*) {
  long long pid = 0;
  std::string version;
  if (!with_client(self, [&](fp_client* client) {
        pid = fp_server_pid(client);
        version = fp_server_version(client);
        return true;
      }))
    return nullptr;
  return Py_BuildValue("Ls", pid, version.c_str());
}

PyObject* client_status(PyObject* self, PyObject*) {
  std::string status;
  if (!with_client_unlocked(self, [&](fp_client* client) {
        const char* const text = fp_status(client);
        if (text != nullptr) status = text;
        return text != nullptr;
      }))
    return nullptr;
  return PyUnicode_DecodeUTF8(status.data(), static_cast<Py_ssize_t>(status.size()), "replace");
}

PyObject* client_set_log_level(PyObject* self, PyObject* arguments) {
  int level = 0;
  if (!PyArg_ParseTuple(arguments, "i", &level)) return nullptr;
  if (!with_client_unlocked(
          self, [&](fp_client* client) { return fp_set_log_level(client, level) == FP_OK; }))
    return nullptr;
  Py_RETURN_NONE;
}

// Feed: one feed of a client, read in batches and handed out one by one.

struct Feed {
  PyObject base;
  Client* client;
  fp_feed id;
  PyObject* log;        // the Log that messages_ point into
  PyObject* assembled;  // bytes: the payload of the last message, if that one was assembled
  std::size_t next;     // of messages
  std::size_t count;
  fp_pull behind;  // what comes behind them: a gap that is not told yet, the end, or nothing known
  fp_gap gap;
  fp_message messages[kBatch];
};

PyObject* feed_new(PyTypeObject* type, PyObject* arguments, PyObject*);

int feed_init(PyObject*, PyObject*, PyObject*) { return 0; }

void feed_dealloc(PyObject* self) {
  Feed* const feed = as<Feed>(self);
  Py_XDECREF(feed->client);
  Py_XDECREF(feed->log);
  Py_XDECREF(feed->assembled);
  free_object(self);
}

/// Fills the feed's batch when it is empty. false: an exception is set. No Python code runs here, so that two threads
/// that read the same feed find it whole.
bool refill(Feed* feed) {
  Outcome failure;
  {
    const Use use(feed->client);
    if (feed->next < feed->count || feed->behind != FP_PULL_NONE) return true;  // another did
    fp_client* const client = feed->client->client;
    feed->next = feed->count = 0;
    if (client == nullptr) {
      feed->behind = FP_PULL_CLOSED;
      return true;
    }
    std::size_t count = 0;
    const fp_pull pulled = fp_read(client, feed->id, feed->messages, kBatch, &count, &feed->gap);
    if (pulled == FP_PULL_ERROR) {
      failure.take(client);
    } else {
      feed->behind = pulled == FP_PULL_MESSAGE ? FP_PULL_NONE : pulled;
      fp_message* const last = count == 0 ? nullptr : &feed->messages[count - 1];
      if (last != nullptr && last->assembled != 0) {
        PyObject* const copy = PyBytes_FromStringAndSize(
            reinterpret_cast<const char*>(last->payload), static_cast<Py_ssize_t>(last->length));
        if (copy == nullptr) return false;
        Py_XSETREF(feed->assembled, copy);
        last->payload = reinterpret_cast<const std::uint8_t*>(PyBytes_AS_STRING(copy));
      }
      fp_log* const log = count == 0 ? nullptr : feed->messages[0].log;
      if (log != nullptr && (feed->log == nullptr || as<Log>(feed->log)->log != log)) {
        PyObject* const made = make_log(log);
        if (made == nullptr) return false;
        Py_XSETREF(feed->log, made);
      }
      feed->count = count;
      return true;
    }
  }
  failure.raise_it();
  return false;
}

PyObject* take_one(Feed* feed) {
  const fp_message& message = feed->messages[feed->next];
  PyObject* const owner = message.assembled != 0 ? feed->assembled : feed->log;
  Message* const made = make_message(message, owner);
  if (made != nullptr) ++feed->next;
  return reinterpret_cast<PyObject*>(made);
}

/// Tells of the gap behind the batch: what self._gap(reason, missed_messages, missed_bytes) returns. Unknown: None.
PyObject* tell_gap(PyObject* self) {
  Feed* const feed = as<Feed>(self);
  feed->behind = FP_PULL_NONE;
  const fp_gap gap = feed->gap;
  const auto number = [](std::uint64_t value) -> PyObject* {
    if (value != FP_UNKNOWN) return PyLong_FromUnsignedLongLong(value);
    Py_RETURN_NONE;
  };
  PyObject* const reason = PyLong_FromUnsignedLong(gap.reason);
  PyObject* const messages = number(gap.missed_messages);
  PyObject* const bytes = number(gap.missed_bytes);
  PyObject* told = nullptr;
  if (reason != nullptr && messages != nullptr && bytes != nullptr)
    told = PyObject_CallMethodObjArgs(self, gap_name, reason, messages, bytes, nullptr);
  Py_XDECREF(reason);
  Py_XDECREF(messages);
  Py_XDECREF(bytes);
  return told;
}

/// The next message; None: there is nothing now; False: nothing more will come. Gaps are told on the way.
PyObject* feed_step(PyObject* self, PyObject*) {
  Feed* const feed = as<Feed>(self);
  for (;;) {
    if (feed->next < feed->count) return take_one(feed);
    if (feed->behind == FP_PULL_CLOSED) Py_RETURN_FALSE;
    if (feed->behind == FP_PULL_GAP) {
      PyObject* const told = tell_gap(self);
      if (told == nullptr) return nullptr;
      Py_DECREF(told);
    }
    if (!refill(feed)) return nullptr;
    if (feed->next == feed->count && feed->behind == FP_PULL_NONE) Py_RETURN_NONE;
  }
}

/// __next__: waits by self._idle(), which may raise.
PyObject* feed_iternext(PyObject* self) {
  Feed* const feed = as<Feed>(self);
  if (feed->next < feed->count) return take_one(feed);
  for (;;) {
    PyObject* const found = feed_step(self, nullptr);
    if (found == nullptr) return nullptr;
    if (found == Py_False) {
      Py_DECREF(found);
      return nullptr;  // the end
    }
    if (found != Py_None) return found;
    Py_DECREF(found);
    PyObject* const waited = PyObject_CallMethodObjArgs(self, idle_name, nullptr);
    if (waited == nullptr) return nullptr;
    Py_DECREF(waited);
  }
}

/// (max) -> a list of at most max messages that are there now; a gap ends it, and is its last element.
PyObject* feed_take(PyObject* self, PyObject* arguments) {
  Feed* const feed = as<Feed>(self);
  Py_ssize_t wanted = 0;
  if (!PyArg_ParseTuple(arguments, "n", &wanted)) return nullptr;
  PyObject* const list = PyList_New(0);
  if (list == nullptr) return nullptr;
  while (PyList_GET_SIZE(list) < wanted) {
    PyObject* item = nullptr;
    bool last = false;
    if (feed->next < feed->count) {
      item = take_one(feed);
    } else if (feed->behind == FP_PULL_GAP) {
      item = tell_gap(self);
      last = true;
    } else {
      if (feed->behind == FP_PULL_CLOSED) break;
      if (!refill(feed)) {
        Py_DECREF(list);
        return nullptr;
      }
      if (feed->next == feed->count && feed->behind == FP_PULL_NONE) break;
      continue;
    }
    if (item == nullptr || PyList_Append(list, item) != 0) {
      Py_XDECREF(item);
      Py_DECREF(list);
      return nullptr;
    }
    Py_DECREF(item);
    if (last) break;
  }
  return list;
}

PyObject* feed_drop(PyObject* self, PyObject*) {
  Feed* const feed = as<Feed>(self);
  feed->next = feed->count = 0;
  feed->behind = FP_PULL_CLOSED;
  Py_CLEAR(feed->log);
  Py_CLEAR(feed->assembled);
  Py_RETURN_NONE;
}

PyObject* feed_pending(PyObject* self, PyObject*) {
  return PyLong_FromSize_t(as<Feed>(self)->count - as<Feed>(self)->next);
}

PyObject* feed_ended(PyObject* self, PyObject*) {
  const Feed* const feed = as<Feed>(self);
  return PyBool_FromLong(feed->next == feed->count && feed->behind == FP_PULL_CLOSED ? 1 : 0);
}

// The module.

/// The stamps of the messages among the items, 6 native 64-bit words each.
PyObject* pack_stamps(PyObject*, PyObject* items) {
  PyObject* const fast = PySequence_Fast(items, "a sequence of messages is needed");
  if (fast == nullptr) return nullptr;
  const Py_ssize_t size = PySequence_Fast_GET_SIZE(fast);
  constexpr Py_ssize_t kRow = FP_STAMPS * sizeof(std::uint64_t);
  PyObject* const packed = PyByteArray_FromStringAndSize(nullptr, size * kRow);
  if (packed == nullptr) {
    Py_DECREF(fast);
    return nullptr;
  }
  Py_ssize_t rows = 0;
  for (Py_ssize_t i = 0; i < size; ++i) {
    PyObject* const item = PySequence_Fast_GET_ITEM(fast, i);
    if (!Py_IS_TYPE(item, message_type)) continue;
    std::memcpy(PyByteArray_AS_STRING(packed) + rows++ * kRow, as<Message>(item)->message.stamps,
                kRow);
  }
  Py_DECREF(fast);
  if (PyByteArray_Resize(packed, rows * kRow) == 0) return packed;
  Py_DECREF(packed);
  return nullptr;
}

PyObject* no_new(PyTypeObject* type, PyObject*, PyObject*) {
  PyErr_Format(PyExc_TypeError, "%s cannot be made by hand", type->tp_name);
  return nullptr;
}

PyMethodDef message_methods[] = {
    {"bytes", method(message_bytes), METH_NOARGS,
     "A copy of the payload. Raises Lapped if it is no longer there."},
    {"intact", method(message_intact), METH_NOARGS,
     "True if everything read from the payload up to now was the message."},
    {nullptr, nullptr, 0, nullptr}};

PyGetSetDef message_members[] = {
    {"payload", message_payload, nullptr, "A read-only view of the bytes where they lie.", nullptr},
    {"text", message_text, nullptr, "A copy of the payload, decoded. Raises Lapped.", nullptr},
    {"stamps", message_stamps, nullptr, "TSC ticks of the six stages; 0: absent.", nullptr},
    {"sequence", message_sequence, nullptr, "From 1, without a hole but for gaps.", nullptr},
    {"topic", message_topic, nullptr, "The topic's number; 0: none.", nullptr},
    {"opcode", message_opcode, nullptr, "1: text, 2: binary.", nullptr},
    {"assembled", message_assembled, nullptr, "Put together from fragments: a copy.", nullptr},
    {"feed_id", message_feed_id, nullptr, "Feed.id of its feed.", nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr}};

PyType_Slot log_slots[] = {
    {Py_tp_new, slot(no_new)}, {Py_tp_dealloc, slot(log_dealloc)}, {0, nullptr}};
PyType_Slot message_slots[] = {{Py_tp_new, slot(no_new)},
                               {Py_tp_dealloc, slot(message_dealloc)},
                               {Py_tp_repr, slot(message_repr)},
                               {Py_tp_methods, message_methods},
                               {Py_tp_getset, message_members},
                               {Py_bf_getbuffer, slot(message_buffer)},
                               {0, nullptr}};

PyMethodDef client_methods[] = {
    {"close", method(client_close), METH_NOARGS, nullptr},
    {"open", method(client_open), METH_VARARGS, nullptr},
    {"close_feed", method(client_close_feed), METH_VARARGS, nullptr},
    {"send", method(client_send), METH_VARARGS, nullptr},
    {"subscribe", method(client_subscribe), METH_VARARGS, nullptr},
    {"unsubscribe", method(client_unsubscribe), METH_VARARGS, nullptr},
    {"answer", method(client_answer), METH_VARARGS, nullptr},
    {"next_notice", method(client_next_notice), METH_NOARGS, nullptr},
    {"wait", method(client_wait), METH_VARARGS, nullptr},
    {"arm", method(client_arm), METH_VARARGS, nullptr},
    {"fd", method(client_fd), METH_NOARGS, nullptr},
    {"readable", method(client_readable), METH_VARARGS, nullptr},
    {"lag", method(client_lag), METH_VARARGS, nullptr},
    {"server", method(client_server), METH_NOARGS, nullptr},
    {"status", method(client_status), METH_NOARGS, nullptr},
    {"set_log_level", method(client_set_log_level), METH_VARARGS, nullptr},
    {nullptr, nullptr, 0, nullptr}};
PyType_Slot client_slots[] = {{Py_tp_new, slot(client_new)},
                              {Py_tp_dealloc, slot(client_dealloc)},
                              {Py_tp_methods, client_methods},
                              {0, nullptr}};

PyMethodDef feed_methods[] = {{"_step", method(feed_step), METH_NOARGS, nullptr},
                              {"_take", method(feed_take), METH_VARARGS, nullptr},
                              {"_drop", method(feed_drop), METH_NOARGS, nullptr},
                              {"_pending", method(feed_pending), METH_NOARGS, nullptr},
                              {"_ended", method(feed_ended), METH_NOARGS, nullptr},
                              {nullptr, nullptr, 0, nullptr}};
PyType_Slot feed_slots[] = {{Py_tp_new, slot(feed_new)},
                            {Py_tp_init, slot(feed_init)},
                            {Py_tp_dealloc, slot(feed_dealloc)},
                            {Py_tp_iter, slot(PyObject_SelfIter)},
                            {Py_tp_iternext, slot(feed_iternext)},
                            {Py_tp_methods, feed_methods},
                            {0, nullptr}};

PyType_Spec log_spec = {"feedproxy._native.Log", sizeof(Log), 0, Py_TPFLAGS_DEFAULT, log_slots};
PyType_Spec message_spec = {"feedproxy.Message", sizeof(Message), 0, Py_TPFLAGS_DEFAULT,
                            message_slots};
PyType_Spec client_spec = {"feedproxy._native.Client", sizeof(Client), 0, Py_TPFLAGS_DEFAULT,
                           client_slots};
PyType_Spec feed_spec = {"feedproxy._native.Feed", sizeof(Feed), 0,
                         Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, feed_slots};

PyStructSequence_Field stamps_fields[] = {{"nic", "the kernel or NIC received the last byte"},
                                          {"wake", "the proxy's loop woke"},
                                          {"read", "the read of this chunk began"},
                                          {"plain", "the plaintext is in the log"},
                                          {"parsed", "the frame's boundary is found"},
                                          {"handler", "the message was handed on"},
                                          {nullptr, nullptr}};
PyStructSequence_Desc stamps_description = {"feedproxy.Stamps",
                                            "TSC ticks of the six stages of a message; 0: absent.",
                                            stamps_fields, FP_STAMPS};

PyTypeObject* client_type = nullptr;

PyObject* feed_new(PyTypeObject* type, PyObject* arguments, PyObject*) {
  PyObject* client = nullptr;
  unsigned id = 0;
  if (!PyArg_ParseTuple(arguments, "O!I", client_type, &client, &id)) return nullptr;
  Feed* const self = as<Feed>(type->tp_alloc(type, 0));  // all zeros
  if (self == nullptr) return nullptr;
  Py_INCREF(client);
  self->client = as<Client>(client);
  self->id = id;
  self->behind = FP_PULL_NONE;
  return reinterpret_cast<PyObject*>(self);
}

PyMethodDef module_methods[] = {{"pack_stamps", method(pack_stamps), METH_O, nullptr},
                                {nullptr, nullptr, 0, nullptr}};

PyModuleDef module_definition = {PyModuleDef_HEAD_INIT,
                                 "feedproxy._native",
                                 "The C interface of feedproxy's local client.",
                                 -1,
                                 module_methods,
                                 nullptr,
                                 nullptr,
                                 nullptr,
                                 nullptr};

bool add_type(PyObject* module, PyType_Spec& spec, PyTypeObject*& type) {
  type = as<PyTypeObject>(PyType_FromSpec(&spec));
  return type != nullptr && PyModule_AddType(module, type) == 0;
}

bool set_up(PyObject* module) {
  PyObject* const errors = PyImport_ImportModule("feedproxy._errors");
  if (errors == nullptr) return false;
  error_class = PyObject_GetAttrString(errors, "Error");
  lapped_class = PyObject_GetAttrString(errors, "Lapped");
  Py_DECREF(errors);
  idle_name = PyUnicode_InternFromString("_idle");
  gap_name = PyUnicode_InternFromString("_gap");
  stamps_type = PyStructSequence_NewType(&stamps_description);
  PyTypeObject* feed_type = nullptr;
  return error_class != nullptr && lapped_class != nullptr && idle_name != nullptr &&
         gap_name != nullptr && stamps_type != nullptr &&
         PyModule_AddType(module, stamps_type) == 0 && add_type(module, log_spec, log_type) &&
         add_type(module, message_spec, message_type) &&
         add_type(module, client_spec, client_type) && add_type(module, feed_spec, feed_type);
}

}  // namespace

PyMODINIT_FUNC PyInit__native() {
  PyObject* const module = PyModule_Create(&module_definition);
  if (module != nullptr && set_up(module)) return module;
  Py_XDECREF(module);
  return nullptr;
}
