/* One table describes every option: it parses, checks, documents and prints the config.
 *
 * A config is a tree of maps. Each map is described by an array of dt_option rows ending with a row whose name is NULL; each
 * row names where in a C struct its value goes. Whatever comes "one of several kinds, each with options of its own" (a layer,
 * an optimizer, a decay, a data format) is a dt_choice from an array of dt_kind pointers ending with NULL. */
#ifndef DT_CORE_CONFIG_OPTIONS_H
#define DT_CORE_CONFIG_OPTIONS_H

#include <stddef.h>
#include <stdint.h>

#include "core/status.h"

typedef enum dt_option_type {
  DT_OPT_BOOL,     /* bool */
  DT_OPT_INT,      /* int64_t; min and max apply */
  DT_OPT_UINT64,   /* uint64_t, all 64 bits (a seed) */
  DT_OPT_REAL,     /* double; min and max apply; finite decimal numbers only, C locale whatever LC_ALL says */
  DT_OPT_STRING,   /* const char *, no control characters */
  DT_OPT_ENUM,     /* int: index in choices */
  DT_OPT_DURATION, /* dt_duration: "10 epochs", "5 min", "1000 steps", "60000 samples", "never" */
  DT_OPT_INTS,     /* dt_ints: a list of integers, or one integer; min and max apply to each */
  DT_OPT_REALS,    /* dt_reals: likewise */
  DT_OPT_STRINGS,  /* dt_strings: a list of strings, or one string */
  DT_OPT_MAP,      /* a nested struct described by fields */
  DT_OPT_OTHERS, /* dt_others: the row "*" of a map, which takes every key that has no row: each is a MAP of the same fields */
  DT_OPT_ONE,    /* dt_choice: {kind: {...}}, `kind: positional value`, or just `kind` */
  DT_OPT_LIST,   /* dt_choices: a list of ONE; a single one may stand for the list */
  DT_OPT_LISTS,  /* dt_choice_lists: a list of LIST */
  DT_OPT_NAMED,  /* dt_named: a map from names of the user's own to the options of the only kind of a table; what `short_for`
                    such an option is the main option of the item of that name */
} dt_option_type;

typedef enum dt_unit { DT_NEVER, DT_SAMPLES, DT_STEPS, DT_EPOCHS, DT_SECONDS } dt_unit;

typedef struct dt_duration {
  double amount;
  dt_unit unit;
} dt_duration;

typedef struct dt_ints {
  int64_t *value;
  int count;
} dt_ints;

typedef struct dt_reals {
  double *value;
  int count;
} dt_reals;

typedef struct dt_strings {
  const char **value;
  int count;
} dt_strings;

/* Where a value came from: file:line:column; a column of an override, whose text ("--set a=b") is the source; or "default". */
typedef struct dt_origin {
  const char *source;
  int line, column; /* 1-based; 0 where there is none. An override has no line */
} dt_origin;

/* Entries of a map whose keys are names that users give, in the order in which they were written. */
typedef struct dt_other {
  const char *name;
  dt_origin origin; /* of the name */
  void *value;      /* a struct of option->item_bytes, filled from option->fields */
} dt_other;

typedef struct dt_others {
  dt_other *item;
  int count;
} dt_others;

typedef struct dt_kind dt_kind;

typedef struct dt_choice {
  const dt_kind *kind;   /* NULL: not given */
  void *attr;            /* struct of kind->attr_bytes, filled from kind->options; NULL when the kind has none */
  void *beside;          /* struct filled from the option's `beside`; NULL when that is NULL, or a composite made the choice */
  dt_origin origin;      /* for errors: of the kind, or of the last override within it */
  dt_origin kind_origin; /* of the kind itself */
} dt_choice;

typedef struct dt_choices {
  dt_choice *item;
  int count;
} dt_choices;

typedef struct dt_choice_lists {
  dt_choices *list;
  int count;
} dt_choice_lists;

typedef struct dt_named {
  const char **name; /* letters, digits, _ and -, a letter first, at most DT_NAMED_BYTES */
  dt_choice *item;
  int count;
} dt_named;
enum { DT_NAMED_BYTES = 48 };

/* What of a path is expanded: of DT_PATH_VARIABLE a leading $NAME. A beginning that a shell would expand and dtrain does not
 * is refused. */
typedef enum dt_path_rule { DT_PATH_NONE, DT_PATH_PLAIN, DT_PATH_VARIABLE } dt_path_rule;

typedef struct dt_option {
  const char *name; /* NULL ends the table */
  dt_option_type type;
  const char *unit;         /* shown in help: "samples", "pixels", "1/step"; NULL = none. Of short_for: the unit it adds */
  const char *default_text; /* the default, written as in YAML; NULL = required; "" = may be absent: zeroed, a string "" */
  double min, max;          /* bounds of INT, REAL, INTS, REALS and of a DURATION's amount; both 0 = none; max < min = no upper
                               bound. STRING: the most bytes, LIST, NAMED: the most items (max alone) */
  bool open_min, open_max;  /* the bound itself is excluded */
  const char *const *choices;     /* ENUM: names. DURATION: the units allowed, as in dt_unit_names. INT, REAL: the one word
                                     that stands for 0 ("auto", "off"). NULL-terminated */
  const struct dt_option *fields; /* MAP, OTHERS */
  const char *positional;         /* MAP, OTHERS: the field that a bare scalar stands for; NULL = none */
  const char *pair[2];            /* MAP: `{x: 1}` is read as {pair[0]: x, pair[1]: 1}, where x is no field; NULL = it is not */
  bool has_given;                 /* MAP: its struct begins with a bool that says whether it was given */
  size_t item_bytes;              /* OTHERS: size of the struct that fields describe */
  const char *short_for;          /* `name: 10` is read as `short_for: 10 unit`; no value of its own */
  dt_path_rule path;              /* STRING, STRINGS: it names a file or folder */
  bool scheduled;                 /* REAL of an optimizer: a hyper-parameter, which `schedule` may give over time */
  bool keeps_results;             /* never changes a bit of the trajectory: a resumed run may change it (and all below) */
  const dt_kind *const *const *kinds; /* ONE, LIST, LISTS, NAMED: address of the table, so that they may refer to each other */
  const struct dt_option *beside;     /* ONE, LIST, LISTS: rows of what may stand beside a kind, {kind: {...}, name: stem};
                                         each has a default. NULL = nothing may */
  size_t beside_bytes;                /* of the struct that they fill */
  size_t offset;                      /* of the value in the struct */
  const char *doc;                    /* one sentence */
} dt_option;

struct dt_kind {
  const char *name;
  const char *doc;          /* one sentence, with the formula where there is one */
  const dt_option *options; /* NULL = takes none */
  size_t attr_bytes;
  const char *positional; /* the option that a bare scalar or list stands for; NULL = none */
  const void *impl;       /* the table of functions (dt_layer, dt_optimizer, dt_decay, dt_format) */
  /* What the single options cannot say (relations between them); raises DT_USAGE. NULL = nothing. */
  dt_status (*check)(const void *attr);
};

/* A kind whose options are those of all others of its table. */
#define DT_KIND_LIKE(kind_name, text, option_table, attr_type, kind_impl) \
  { .name = kind_name, .doc = text, .options = option_table, .attr_bytes = sizeof(attr_type), .impl = &(kind_impl) }

/* Names of units as in a config: "never", "samples", "steps", "epochs", "s". */
extern const char *const dt_unit_names[];
enum { DT_DURATION_TEXT = 48 };
/* A duration as one would write it: "1 epoch", "2.5 epochs", "never". text holds DT_DURATION_TEXT bytes and is returned. */
const char *dt_duration_text(dt_duration duration, char *text);

/* The row of that name, else the row "*"; NULL when there is neither. */
const dt_option *dt_option_find(const dt_option *table, const char *name, size_t bytes);
/* The kind of that name, NULL when there is none. */
const dt_kind *dt_kind_find(const dt_kind *const *kinds, const char *name, size_t bytes);

/* Walks every option in order, nested ones too, for help, the reference page and the config's own checks. Paths are dotted, an
 * item of a list is "[]": "train.shards", "model.layers[].conv.filters". A kind is announced by a call with option NULL before
 * its options; kinds that contain themselves (residual) are walked once. */
typedef void dt_option_visitor(void *context, const char *path, const dt_option *option, const dt_kind *of_kind);
void dt_options_visit(const dt_option *root, dt_option_visitor *visit, void *context);

#endif
