/* Rows of option tables, one call each. First come the name and the value's offset in its struct, then what a type always has:
 *   standard   the default as written in YAML; NULL = required; "" = may be absent
 *   min, max   bounds, 0 and 0 for none
 *   choices, kinds, fields   as in dt_option
 * then the documentation, and after it whatever else of dt_option the row sets: .unit = "pixels", .keeps_results = true. */
#ifndef DT_CORE_CONFIG_ROWS_H
#define DT_CORE_CONFIG_ROWS_H

#include "core/config/options.h"

#define DT_ROW_PLAIN(option, at, kind, text, ...) \
  { .name = option, .type = kind, .offset = at, .doc = text, __VA_ARGS__ }
#define DT_ROW_BOUNDED(option, at, kind, standard, low, high, text, ...) \
  DT_ROW_PLAIN(option, at, kind, text, .default_text = standard, .min = low, .max = high, __VA_ARGS__)

#define DT_ROW_BOOL(option, at, standard, text, ...) \
  DT_ROW_PLAIN(option, at, DT_OPT_BOOL, text, .default_text = standard, __VA_ARGS__)
#define DT_ROW_STRING(option, at, standard, text, ...) \
  DT_ROW_PLAIN(option, at, DT_OPT_STRING, text, .default_text = standard, __VA_ARGS__)
#define DT_ROW_STRINGS(option, at, standard, text, ...) \
  DT_ROW_PLAIN(option, at, DT_OPT_STRINGS, text, .default_text = standard, __VA_ARGS__)
#define DT_ROW_UINT64(option, at, standard, text, ...) \
  DT_ROW_PLAIN(option, at, DT_OPT_UINT64, text, .default_text = standard, __VA_ARGS__)
#define DT_ROW_INT(option, at, standard, low, high, text, ...) \
  DT_ROW_BOUNDED(option, at, DT_OPT_INT, standard, low, high, text, __VA_ARGS__)
#define DT_ROW_REAL(option, at, standard, low, high, text, ...) \
  DT_ROW_BOUNDED(option, at, DT_OPT_REAL, standard, low, high, text, __VA_ARGS__)
#define DT_ROW_INTS(option, at, standard, low, high, text, ...) \
  DT_ROW_BOUNDED(option, at, DT_OPT_INTS, standard, low, high, text, __VA_ARGS__)
#define DT_ROW_REALS(option, at, standard, low, high, text, ...) \
  DT_ROW_BOUNDED(option, at, DT_OPT_REALS, standard, low, high, text, __VA_ARGS__)
#define DT_ROW_ENUM(option, at, standard, names, text, ...) \
  DT_ROW_PLAIN(option, at, DT_OPT_ENUM, text, .default_text = standard, .choices = names, __VA_ARGS__)
#define DT_ROW_DURATION(option, at, standard, units, text, ...) \
  DT_ROW_PLAIN(option, at, DT_OPT_DURATION, text, .default_text = standard, .choices = units, __VA_ARGS__)
#define DT_ROW_ONE(option, at, standard, table, text, ...) \
  DT_ROW_PLAIN(option, at, DT_OPT_ONE, text, .default_text = standard, .kinds = table, __VA_ARGS__)
#define DT_ROW_LIST(option, at, standard, table, text, ...) \
  DT_ROW_PLAIN(option, at, DT_OPT_LIST, text, .default_text = standard, .kinds = table, __VA_ARGS__)
#define DT_ROW_LISTS(option, at, standard, table, text, ...) \
  DT_ROW_PLAIN(option, at, DT_OPT_LISTS, text, .default_text = standard, .kinds = table, __VA_ARGS__)
#define DT_ROW_MAP(option, at, table, text, ...) DT_ROW_PLAIN(option, at, DT_OPT_MAP, text, .fields = table, __VA_ARGS__)
#define DT_ROW_OTHERS(option, at, table, bytes, text, ...) \
  DT_ROW_PLAIN(option, at, DT_OPT_OTHERS, text, .default_text = "", .fields = table, .item_bytes = bytes, __VA_ARGS__)

#endif
