/* Choices as the config parser would make them, for tests of one kind. */
#ifndef DT_TESTS_SUPPORT_CHOICE_H
#define DT_TESTS_SUPPORT_CHOICE_H

#include "core/config/options.h"

/* The kind of that name in a table ending with NULL, with a zeroed attr of its own; kind NULL when there is none. Free with
 * dt_test_choice_destroy. */
dt_choice dt_test_choice(const dt_kind *const *kinds, const char *name);
/* Address of the value of an option in the choice's attr; NULL when the kind has no such option. */
void *dt_test_choice_value(const dt_choice *choice, const char *option);
void dt_test_choice_destroy(dt_choice *choice);

#endif
