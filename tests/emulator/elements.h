/* Elements of 32 and 16 bits as the stand-ins for libraries compute with them: widened to float, computed, rounded to nearest
 * even. */
#ifndef DT_EMULATOR_ELEMENTS_H
#define DT_EMULATOR_ELEMENTS_H

#include <stdint.h>

typedef enum element_type { ELEMENT_F32, ELEMENT_F16, ELEMENT_BF16 } element_type;

/* Bytes of one element. */
int64_t element_bytes(element_type type);
/* Reads count elements that lie side by side. */
void element_read(element_type type, const void *from, int64_t count, float *to);
/* Rounds count floats and writes them side by side. */
void element_write(element_type type, const float *from, int64_t count, void *to);
/* Rounds to the 10 bits of mantissa that tensor cores read of a float (TF32). */
void element_round_tf32(float *value, int64_t count);

#endif
