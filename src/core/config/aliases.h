/* What a word that a config does not know was meant to be: a name that is mistyped, one that belongs elsewhere, or one that
 * PyTorch or Keras has for it. Each hint is ` (did you mean "..."?)`, or "" without an idea. Returns text. */
#ifndef DT_CORE_CONFIG_ALIASES_H
#define DT_CORE_CONFIG_ALIASES_H

#include "core/config/options.h"

/* Of a key in the map `table`, which stands at the dotted path `at` ("" is the config itself; "model.layers.0.conv"). */
const char *dt_key_hint(const char *word, const char *at, const dt_option *table, char *text, size_t bytes);
/* Of a kind. */
const char *dt_kind_hint(const char *word, const dt_kind *const *kinds, char *text, size_t bytes);
/* Of a value of the option at that path, which is one of `choices`. */
const char *dt_choice_hint(const char *word, const char *at, const char *const *choices, char *text, size_t bytes);
/* The full path of the key that a word of PyTorch or Keras, or a key's own last part, stands for; NULL without an idea. Lists
 * are "[]" in it. Points into static memory or at text. */
const char *dt_key_path(const char *word, char *text, size_t bytes);

/* The rows: for the test that every path exists. */
typedef struct dt_alias {
  const char *word; /* compared without case, dashes, underscores and a leading "nn."; NULL ends the table */
  const char *path; /* of an option, a kind, or an option and one of its choices */
} dt_alias;
extern const dt_alias dt_aliases[];

#endif
