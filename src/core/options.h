/* One table describes every option: it parses, checks, documents and prints the config.
 *
 * A config is a tree of maps. Each map is described by an array of dt_option rows ending with a row whose name is NULL; each
 * row names where in a C struct its value goes. Whatever comes "one of several kinds, each with options of its own" (a layer,
 * an optimizer, a decay, a data format) is a dt_choice from an array of dt_kind pointers ending with NULL. */
#ifndef DT_CORE_OPTIONS_H
#define DT_CORE_OPTIONS_H

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
  DT_OPT_ONE,      /* dt_choice: {kind: {...}}, `kind: positional value`, or just `kind` */
  DT_OPT_LIST,     /* dt_choices: a list of ONE */
  DT_OPT_LISTS,    /* dt_choice_lists: a list of LIST */
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

/* Where a value came from: file:line:column, "--set", or "default". */
typedef struct dt_origin {
  const char *source;
  int line, column; /* 1-based; 0 where there is none */
} dt_origin;

typedef struct dt_kind dt_kind;

typedef struct dt_choice {
  const dt_kind *kind; /* NULL: not given */
  void *attr;          /* struct of kind->attr_bytes, filled from kind->options; NULL when the kind has none */
  dt_origin origin;
} dt_choice;

typedef struct dt_choices {
  dt_choice *item;
  int count;
} dt_choices;

typedef struct dt_choice_lists {
  dt_choices *list;
  int count;
} dt_choice_lists;

typedef struct dt_option {
  const char *name; /* NULL ends the table */
  dt_option_type type;
  const char *unit;        /* shown in help: "samples", "pixels", "1/step"; NULL = none. Of short_for: the unit it adds */
  const char *fallback;    /* the default, written as in YAML; NULL = required; "" = may be absent: zeroed, a string "" */
  double min, max;         /* bounds of INT, REAL, INTS, REALS and of a DURATION's amount; both 0 = none; max < min = no upper
                              bound. STRING: the most bytes, LIST: the most items (max alone) */
  bool open_min, open_max; /* the bound itself is excluded */
  const char *const *choices;         /* ENUM: names. DURATION: the units allowed, as in dt_unit_names. INT, REAL: the one word
                                         that stands for 0 ("auto", "off"). NULL-terminated */
  const struct dt_option *fields;     /* MAP */
  const char *positional;             /* MAP: the field that a bare scalar stands for; NULL = none */
  bool has_given;                     /* MAP: its struct begins with a bool that says whether it was given */
  const char *short_for;              /* `name: 10` is read as `short_for: 10 unit`; no value of its own */
  bool neutral;                       /* never changes a bit of the trajectory: a resumed run may change it (and all below) */
  const dt_kind *const *const *kinds; /* ONE, LIST, LISTS: address of the table, so that tables may refer to each other */
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

/* Names of units as in a config: "never", "samples", "steps", "epochs", "s". */
extern const char *const dt_unit_names[];

/* The row of that name, NULL when there is none. */
const dt_option *dt_option_find(const dt_option *table, const char *name, size_t bytes);
/* The kind of that name, NULL when there is none. */
const dt_kind *dt_kind_find(const dt_kind *const *kinds, const char *name, size_t bytes);

/* Walks every option in order, nested ones too, for help, the reference page and the config's own checks. Paths are dotted, an
 * item of a list is "[]": "train.shards", "model.layers[].conv.filters". A kind is announced by a call with option NULL before
 * its options; kinds that contain themselves (residual) are walked once. */
typedef void dt_option_visitor(void *context, const char *path, const dt_option *option, const dt_kind *of_kind);
void dt_options_visit(const dt_option *root, dt_option_visitor *visit, void *context);

#endif
