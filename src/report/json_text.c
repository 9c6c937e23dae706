#include <stdlib.h>
#include <string.h>

#include "core/text.h"
#include "report/record_parts.h"

json_t *dt_json_text_of(const char *text, size_t bytes) {
  char *copy = dt_text_utf8(text, bytes);
  json_t *string = json_string(copy);
  free(copy);
  return string;
}

json_t *dt_json_text(const char *text) {
  return text != NULL ? dt_json_text_of(text, strlen(text)) : json_null();
}
