#include "data/formats.h"

#include "data/data.h"

/* clang-format off */
const dt_kind *const dt_format_kinds[] = {
    &dt_format_idx,
    &dt_format_cifar10,
    &dt_format_cifar100,
    &dt_format_csv,
    &dt_format_npy,
    &dt_format_npz,
    &dt_format_images,
    &dt_format_tar,
    &dt_format_synthetic,
    &dt_format_sine,
    &dt_format_xor,
    &dt_format_moons,
    &dt_format_spirals,
    NULL,
};
/* clang-format on */
