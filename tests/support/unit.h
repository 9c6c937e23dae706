/* cmocka with the headers it needs before it, whatever order the formatter would like. */
#ifndef DT_TESTS_SUPPORT_UNIT_H
#define DT_TESTS_SUPPORT_UNIT_H

/* clang-format off */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#endif
