#include "core/config/group.h"

#include <fnmatch.h>

#include "core/config/rows.h"

typedef struct match_attr {
  const char *pattern;
} match_attr;

const dt_option dt_group_options[] = {
    DT_ROW_BOOL(
        "freeze", offsetof(dt_group, freeze), "false",
        "Whether the parameters stay as they are; a layer all of whose parameters do is frozen as by its own `freeze`."),
    DT_ROW_REAL("lr_scale", offsetof(dt_group, lr_scale), "1", 0, 1e6, "Times the learning rate, for the parameters."),
    DT_ROW_BOOL("decay", offsetof(dt_group, decay), "true", "Whether weight decay, `l1`, `l2` and `max_norm` apply to them."),
    {0},
};

static const dt_option match_options[] = {
    DT_ROW_STRING(
        "pattern", offsetof(match_attr, pattern), NULL,
        "Names of parameters as describe prints them, `conv1.weight`; * stands for any characters, dots among them, ? "
        "for one, and [abc] for one of these.",
        .max = 200),
    {0},
};

static const dt_kind match_kind = {
    .name = "match",
    .doc = "The parameters whose names match a pattern, at least one.",
    .options = match_options,
    .attr_bytes = sizeof(match_attr),
    .positional = "pattern",
};
const dt_kind *const dt_group_kinds[] = {&match_kind, NULL};

const dt_group *dt_group_of(const dt_choice *item) {
  return item->beside;
}

const char *dt_group_pattern(const dt_choice *item) {
  return ((const match_attr *)item->attr)->pattern;
}

bool dt_group_has(const dt_choice *item, const char *name) {
  return fnmatch(dt_group_pattern(item), name, 0) == 0;
}
