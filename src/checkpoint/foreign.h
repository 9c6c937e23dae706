/* Names the formats that people hand over instead of a checkpoint. */
#ifndef DT_CHECKPOINT_FOREIGN_H
#define DT_CHECKPOINT_FOREIGN_H

#include <stddef.h>
#include <stdint.h>

/* What the first bytes of a file look like ("a GGUF file"), NULL when nothing is recognised. */
const char *dt_foreign_format(const uint8_t *data, size_t bytes);

#endif
