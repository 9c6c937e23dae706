/* Inside the config reader. The way of a config: text (config_text.c) -> tree of nodes (config_yaml.c, config_syntax.c) -> the
 * same tree with every short form written out (config_desugar.c) and overrides put in (config_set.c) -> spec (config_read.c,
 * config_value.c). Every stage adds its complaints to one list (config_errors.c), so that a user sees all of them at once. */
#ifndef DT_CORE_CONFIG_INTERNAL_H
#define DT_CORE_CONFIG_INTERNAL_H

#include "core/config/aliases.h"
#include "core/config/names.h"
#include "core/config/spec.h"

enum { DT_CONFIG_BYTES_MAX = 1 << 20, DT_CONFIG_DEPTH_MAX = 64, DT_CONFIG_ERRORS_SHOWN = 20, DT_CONFIG_LIST_MAX = 4096 };

/* Memory that lives as long as the config. */
typedef struct dt_config_block dt_config_block;

/* Zeroed memory from a list of blocks that are freed together. */
dt_status dt_config_alloc(dt_config_block **blocks, size_t count, size_t bytes, void *out_pointer);
dt_status dt_config_copy(dt_config_block **blocks, const char *text, size_t bytes, const char **out);
void dt_config_free(dt_config_block **blocks);

typedef struct dt_config_text {
  const char *name;
  const char *text; /* ends with a NUL beyond bytes */
  size_t bytes;
} dt_config_text;

/* Reads at most DT_CONFIG_BYTES_MAX bytes of a regular file, never blocking. DT_USAGE when it is none or too large. */
dt_status dt_config_text_load(dt_config_block **blocks, const char *path, dt_config_text *out);
/* Takes text as it is; refuses NUL bytes, what is not UTF-8, and control characters; skips one leading byte order mark. */
dt_status dt_config_text_open(dt_config_block **blocks, const char *name, const char *text, size_t bytes, dt_config_text *out);
/* The line with that 1-based number, without its end; false when there is none. */
bool dt_config_text_line(const dt_config_text *source, int line, const char **out_text, size_t *out_bytes);

/* The complaints about one config. */
typedef struct dt_config_errors {
  const dt_config_text *source;
  int count;
  size_t used;
  char text[16000];
} dt_config_errors;

/* Adds `origin: error: ...` with the source line, or the override, and a caret. Only the first DT_CONFIG_ERRORS_SHOWN are
 * kept, all are counted. */
void dt_config_complain(dt_config_errors *errors, dt_origin origin, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* DT_OK when there was no complaint; else raises DT_USAGE with all of them. */
dt_status dt_config_errors_raise(dt_config_errors *errors);

typedef enum dt_node_type { DT_NODE_SCALAR, DT_NODE_LIST, DT_NODE_MAP } dt_node_type;

/* A value of the file. */
typedef struct dt_yaml dt_yaml;
typedef struct dt_yaml_entry {
  const char *key;      /* NULL in a list */
  dt_origin key_origin; /* of the key, or of the item */
  dt_yaml *value;
} dt_yaml_entry;
struct dt_yaml {
  dt_node_type type;
  dt_origin origin;
  const char *text; /* of a scalar */
  bool plain;       /* a scalar without quotes */
  dt_yaml_entry *entry;
  int count, capacity;
};

/* Parses one document. With a NULL `as` origins are places in the source; else columns of as->source, where the value begins
 * at as->column (an override). Syntax errors,
 * anchors, aliases, tags, duplicate keys and too deep nesting become complaints; *out_broken says that the rest was not read.
 * *out is NULL when there is no document or it is broken. */
dt_status dt_yaml_parse(dt_config_block **blocks, const dt_config_text *source, const dt_origin *as, dt_config_errors *errors,
                        dt_yaml **out, bool *out_broken);
/* What is wrong in a line, in our words, where the YAML library said so. Returns text. */
const char *dt_syntax_text(const dt_config_text *source, int line, const char *said, char *text, size_t bytes);
dt_status dt_yaml_new(dt_config_block **blocks, dt_node_type type, dt_origin origin, dt_yaml **out);
dt_status dt_yaml_add(dt_config_block **blocks, dt_yaml *to, const char *key, dt_origin key_origin, dt_yaml *value);
dt_yaml_entry *dt_yaml_find(const dt_yaml *map, const char *key);
/* Of {kind: {...}, name: stem}: the entry of the kind, the only one whose key is no row of `beside` (NULL = no rows). NULL when
 * there is none, or more than one, and when it is no map. */
dt_yaml_entry *dt_yaml_find_kind(const dt_yaml *map, const dt_option *beside);
/* What stands there, for a message: `nothing`, `"1,5"`, `a list`. Returns text, which holds `bytes`. */
const char *dt_yaml_describe(const dt_yaml *node, char *text, size_t bytes);
bool dt_yaml_is_nothing(const dt_yaml *node); /* an empty plain scalar */

/* Writes every short form out in full, in place. Idempotent; leaves alone what it does not understand. */
dt_status dt_config_desugar(dt_config_block **blocks, dt_yaml *root, const dt_option *table);
/* Puts one `a.b=c` into the tree, whose short forms are written out; new ones may be in it afterwards. */
dt_status dt_config_set(dt_config *config, dt_yaml *root, const char *set, dt_config_errors *errors);

/* Where each value came from, by its address in the spec. */
typedef struct dt_value_origin {
  const void *value;
  dt_origin origin;
} dt_value_origin;

struct dt_config {
  dt_config_block *blocks;
  dt_config_text source;
  dt_spec spec;
  dt_value_origin *origin; /* sorted by address once read */
  int origin_count, origin_capacity;
};

/* Fills `into` from the tree; `root` may be NULL for an empty file. */
dt_status dt_config_read(dt_config *config, const dt_option *table, const dt_yaml *root, void *into, dt_config_errors *errors);

/* One scalar into `into`. False when it is not what the option wants; the caller then says what that is. */
bool dt_value_read(const dt_option *option, const dt_yaml *node, void *into);
/* Whether a number lies within an option's bounds. */
bool dt_value_within(const dt_option *option, double value);
/* "a number from 0 to 1 (1 itself excluded)". Returns text. */
const char *dt_value_expected(const dt_option *option, char *text, size_t bytes);
/* The same where something was found that the option does not take: the one bound that it crosses, if that is all. */
const char *dt_value_expected_for(const dt_option *option, const dt_yaml *node, char *text, size_t bytes);
/* The shortest decimal text that reads back as the same double. Returns text, which holds 32 bytes or more. */
const char *dt_real_text(double value, char *text);
/* Writes one value as YAML that reads back as the same. */
void dt_value_print(const dt_option *option, const void *value, FILE *out);
void dt_string_print(const char *text, FILE *out);

/* Names that users give and that another option knows; told beside what else is wrong (spec.c). */
void dt_spec_check_names(const dt_config *config, dt_config_errors *errors);
/* Relations between options, which single rows cannot say (spec.c). */
void dt_spec_check(const dt_config *config, dt_config_errors *errors);

#endif
