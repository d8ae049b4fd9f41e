#include <feedproxy/feedproxy_client.h>
#include <stdio.h>
#include <stdlib.h>

/* Reads `count` messages of a proxy's own upstream. */
int main(int argc, char** argv) {
  if (argc != 3) return 2;
  const fp_client_options where = {.size = sizeof where, .path = argv[1]};
  fp_client* const client = fp_client_create("consumer", &where);
  const fp_open_options what = {.size = sizeof what, .now = 1};
  fp_feed feed = 0;
  if (client == NULL || fp_open(client, &what, &feed, NULL) != FP_OK) {
    fprintf(stderr, "%s\n", fp_error_text(client));
    fp_client_destroy(client);
    return 3;
  }
  puts("open");
  int code = 0;
  fp_message message;
  fp_gap gap;
  for (long left = strtol(argv[2], NULL, 10); left > 0 && code == 0;) {
    switch (fp_next(client, feed, &message, &gap)) {
      case FP_PULL_MESSAGE:
        --left;
        break;
      case FP_PULL_NONE:
        fp_wait(client, feed, 1000000000);
        break;
      default:
        code = 1;
    }
  }
  if (code == 0) puts("done");
  fp_client_destroy(client);
  return code;
}
