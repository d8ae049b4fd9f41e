/*
 * A local client in C99, for the tests: opens URL at SOCKET, says "ready", reads up to COUNT messages of numbered ones
 * ({"n":1,...}) one by one and in batches, and prints "messages wrong gaps" and whether the last payload could be read after
 * everything was closed.
 *
 *     feedproxy_test_c_consumer SOCKET URL COUNT
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "reference/client/c/feedproxy_client.h"

#define BATCH 64

struct reading {
  unsigned long long messages;
  unsigned long long wrong;
  unsigned long long gaps;
  unsigned long long last;
};

static int fail(const fp_client* client, const char* what) {
  fprintf(stderr, "%s: %d: %s\n", what, (int)fp_error_code(client), fp_error_text(client));
  return 1;
}

static void take(struct reading* reading, const fp_message* message) {
  char text[64];
  const size_t length = message->length < sizeof text - 1 ? (size_t)message->length : sizeof text - 1;
  unsigned long long number = 0;
  memcpy(text, message->payload, length);
  text[length] = '\0';
  if (!fp_message_intact(message) || sscanf(text, "{\"n\":%llu", &number) != 1 ||
      number != reading->last + 1 || message->opcode != FP_TEXT ||
      message->stamps[FP_STAMP_HANDLER] == 0)
    ++reading->wrong;
  reading->last = number;
  ++reading->messages;
}

int main(int argc, char** argv) {
  fp_client_options options = {0};
  fp_open_options what = {0};
  struct reading reading = {0};
  fp_message messages[BATCH];
  fp_message last;
  fp_gap gap;
  fp_client* client;
  fp_feed feed = 0;
  unsigned long long wanted;
  int is_new = 0;
  int readable_after_all;
  if (argc != 4) return 2;
  wanted = strtoull(argv[3], NULL, 10);
  options.size = sizeof options;
  options.path = argv[1];
  client = fp_client_create("c-consumer", &options);
  if (client == NULL) return fail(NULL, "connect");
  what.size = sizeof what;
  what.url = argv[2];
  if (fp_open(client, &what, &feed, &is_new) != FP_OK) return fail(client, "open");
  puts("ready");
  fflush(stdout);

  memset(&last, 0, sizeof last);
  while (reading.messages < wanted) {
    size_t count = 0;
    size_t i;
    const fp_pull pulled = reading.messages % 2 == 0
                               ? fp_read(client, feed, messages, BATCH, &count, &gap)
                               : fp_next(client, feed, messages, &gap);
    if (pulled == FP_PULL_MESSAGE && count == 0) count = 1;
    for (i = 0; i < count; ++i) take(&reading, &messages[i]);
    if (count > 0) last = messages[count - 1];
    if (pulled == FP_PULL_ERROR) return fail(client, "read");
    if (pulled == FP_PULL_GAP) ++reading.gaps;
    if (pulled == FP_PULL_CLOSED) break;
    if (pulled == FP_PULL_NONE && fp_wait(client, feed, 100000000) < 0) return fail(client, "wait");
  }

  fp_log_retain(last.log);
  if (fp_close(client, feed) != FP_OK) return fail(client, "close");
  fp_client_destroy(client);
  readable_after_all = last.length > 0 && last.payload[0] == '{' && fp_message_intact(&last);
  fp_log_release(last.log);
  printf("%llu %llu %llu %d %d\n", reading.messages, reading.wrong, reading.gaps, is_new, readable_after_all);
  return 0;
}
