/* Configs from arbitrary bytes: up to the first NUL an override, the rest the file. What is taken must print, and load again
 * from what it printed, to the same. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/config/spec.h"

static char *print(const dt_config *config) {
  char *text = NULL;
  size_t bytes = 0;
  FILE *out = open_memstream(&text, &bytes);
  if (out == NULL || dt_config_print(config, true, out) != DT_OK) abort();
  fclose(out);
  return text;
}

static void check_round_trip(const dt_config *config) {
  dt_config *again = NULL;
  char *text = print(config), *same, *difference;
  if (dt_config_parse("again", text, strlen(text), NULL, 0, &again) != DT_OK) {
    fprintf(stderr, "%s\n%s\n", dt_error_text(), text);
    abort();
  }
  same = print(again);
  if (dt_config_diff(text, same, &difference) != 0) {
    fprintf(stderr, "%s\n", difference);
    abort();
  }
  free(text);
  free(same);
  free(difference);
  dt_config_destroy(&again);
}

/* libfyaml 0.7.12 forgets a buffer when a long quoted text does not end: not ours to free. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void) {
  return "leak:libfyaml.so";
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
  const char *set = (const char *)data, *text = set;
  int set_count = 0;
  const uint8_t *nul = memchr(data, 0, bytes);
  if (nul != NULL) {
    text = (const char *)nul + 1;
    bytes -= (size_t)(text - set);
    set_count = 1;
  }
  dt_config *config = NULL;
  dt_error_clear();
  if (dt_config_parse("fuzz", text, bytes, &set, set_count, &config) == DT_OK)
    check_round_trip(config);
  else if (dt_error_text()[0] == '\0')
    abort();
  dt_config_destroy(&config);
  return 0;
}
