/* The formats: one file each, one row in formats.c. */
#ifndef DT_DATA_FORMATS_H
#define DT_DATA_FORMATS_H

#include "core/options.h"

extern const dt_kind dt_format_idx, dt_format_cifar10, dt_format_synthetic;

#endif
