/* Names of data files. */
#ifndef DT_DATA_PATH_H
#define DT_DATA_PATH_H

#include "core/status.h"

/* Expands a leading $NAME or ${NAME} from the environment; everything else is taken as it stands (no ~, no globs, no
 * commands). DT_DATA naming the variable when it is not set. Returns new (free). */
dt_status dt_path_expand(const char *path, char **out);
/* dir/file, or file alone when it is absolute or dir is "". Returns new (free). */
dt_status dt_path_join(const char *dir, const char *file, char **out);

#endif
