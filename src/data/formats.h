/* The formats: one file each, one row in formats.c. */
#ifndef DT_DATA_FORMATS_H
#define DT_DATA_FORMATS_H

#include "core/config/options.h"

extern const dt_kind dt_format_idx;
extern const dt_kind dt_format_cifar10;
extern const dt_kind dt_format_cifar100;
extern const dt_kind dt_format_csv;
extern const dt_kind dt_format_npy;
extern const dt_kind dt_format_npz;
extern const dt_kind dt_format_images;
extern const dt_kind dt_format_tar;
extern const dt_kind dt_format_synthetic;
extern const dt_kind dt_format_sine;
extern const dt_kind dt_format_xor;
extern const dt_kind dt_format_moons;
extern const dt_kind dt_format_spirals;

#endif
