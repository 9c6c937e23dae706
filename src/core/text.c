#include "core/text.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

size_t dt_utf8_length(const unsigned char *p, size_t left) {
  static const struct {
    unsigned char first_min, first_max, second_min, second_max;
    size_t bytes;
  } form[] = {
      {0xC2, 0xDF, 0x80, 0xBF, 2}, {0xE0, 0xE0, 0xA0, 0xBF, 3}, {0xE1, 0xEC, 0x80, 0xBF, 3}, {0xED, 0xED, 0x80, 0x9F, 3},
      {0xEE, 0xEF, 0x80, 0xBF, 3}, {0xF0, 0xF0, 0x90, 0xBF, 4}, {0xF1, 0xF3, 0x80, 0xBF, 4}, {0xF4, 0xF4, 0x80, 0x8F, 4},
  };
  if (p[0] < 0x80) return 1;
  for (size_t i = 0; i < sizeof form / sizeof form[0]; i++) {
    if (p[0] < form[i].first_min || p[0] > form[i].first_max) continue;
    if (left < form[i].bytes || p[1] < form[i].second_min || p[1] > form[i].second_max) return 0;
    for (size_t k = 2; k < form[i].bytes; k++)
      if ((p[k] & 0xC0) != 0x80) return 0;
    return form[i].bytes;
  }
  return 0;
}

int dt_text_columns(const char *text, size_t bytes) {
  int count = 0;
  for (size_t i = 0; i < bytes; i++) count += ((unsigned char)text[i] & 0xC0) != 0x80;
  return count;
}

bool dt_text_is_control(char c) {
  return (unsigned char)c < 0x20 || c == 0x7F;
}

char dt_text_lower(char c) {
  return (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
}

static char *append_escape(char *at, unsigned char byte) {
  static const char digits[] = "0123456789abcdef";
  const char escape[] = {'\\', 'x', digits[byte >> 4], digits[byte & 15]};
  return (char *)memcpy(at, escape, sizeof escape) + sizeof escape;
}

static char *escape(const char *text, size_t bytes, bool one_line) {
  const unsigned char *p = (const unsigned char *)text, *end = p + bytes;
  char *copy = malloc(4 * bytes + 1), *at = copy;
  if (copy == NULL) return NULL;
  while (p < end) {
    size_t length = dt_utf8_length(p, (size_t)(end - p));
    if (length == 0 || *p == '\0' || (one_line && dt_text_is_control((char)*p))) {
      at = append_escape(at, *p++);
      continue;
    }
    at = (char *)memcpy(at, p, length) + length;
    p += length;
  }
  *at = '\0';
  return copy;
}

char *dt_text_utf8(const char *text, size_t bytes) {
  return escape(text, bytes, false);
}

char *dt_text_line(const char *text, size_t bytes) {
  return escape(text, bytes, true);
}
