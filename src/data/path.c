#include "data/path.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static dt_status concatenate(const char *a, const char *between, const char *b, char **out) {
  const size_t bytes = strlen(a) + strlen(between) + strlen(b) + 1;
  DT_TRY(dt_alloc(bytes, 1, out));
  snprintf(*out, bytes, "%s%s%s", a, between, b);
  return DT_OK;
}

/* The variable's name within a path that begins with $, and where the path goes on after it. */
static const char *variable(const char *path, size_t *out_length, const char **out_rest) {
  const bool braces = path[1] == '{';
  const char *name = path + 1 + braces;
  size_t length = 0;
  while (isalnum((unsigned char)name[length]) || name[length] == '_') length++;
  *out_length = length;
  *out_rest = name + length + (braces && name[length] == '}');
  return name;
}

dt_status dt_path_expand(const char *path, char **out) {
  if (path[0] != '$') return concatenate(path, "", "", out);
  size_t length;
  const char *rest;
  const char *start = variable(path, &length, &rest);
  char name[256];
  DT_REQUIRE(length > 0 && length < sizeof name, DT_DATA, "data.dir: found \"%s\", expected the name of a variable after $",
             path);
  memcpy(name, start, length);
  name[length] = '\0';
  const char *value = getenv(name);
  DT_REQUIRE(value != NULL && value[0] != '\0', DT_DATA,
             "data.dir: found \"%s\", but the environment variable %s is not set; expected the folder of the data set in it",
             path, name);
  return concatenate(value, "", rest, out);
}

dt_status dt_path_join(const char *dir, const char *file, char **out) {
  if (file[0] == '/' || dir[0] == '\0') return concatenate(file, "", "", out);
  const bool ends_with_slash = dir[strlen(dir) - 1] == '/';
  return concatenate(dir, ends_with_slash ? "" : "/", file, out);
}
