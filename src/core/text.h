/* Text from outside - paths, the command line, host and device names - on its way into files of UTF-8. */
#ifndef DT_CORE_TEXT_H
#define DT_CORE_TEXT_H

#include <stddef.h>

#include "core/status.h"

/* Of ASCII, whatever the locale: whether it is a control character, and the small letter of a capital. */
bool dt_text_is_control(char c);
char dt_text_lower(char c);
/* Bytes of the UTF-8 sequence at p (RFC 3629: shortest form, no surrogates, at most U+10FFFF); 0 when it is none. */
size_t dt_utf8_length(const unsigned char *p, size_t left);
/* Characters, as carets and widths of tables count them; the text is UTF-8. */
int dt_text_columns(const char *text, size_t bytes);
/* A copy that is UTF-8: a byte that belongs to no sequence becomes \xNN. Returns new (free), NULL without memory. */
char *dt_text_utf8(const char *text, size_t bytes);
/* Likewise, and on one line: control characters become \xNN as well. */
char *dt_text_line(const char *text, size_t bytes);

#endif
