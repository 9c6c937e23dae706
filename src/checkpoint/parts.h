/* What the files of the checkpoint share; see checkpoint/checkpoint.h for the contract. */
#ifndef DT_CHECKPOINT_PARTS_H
#define DT_CHECKPOINT_PARTS_H

#include "checkpoint/checkpoint.h"
#include "core/file.h"

enum { DT_CHECKPOINT_VERSION = 3, DT_CHECKPOINT_NAME = 64 };

/* The files a manifest vouches for, in the order in which they are written. */
typedef enum dt_part { DT_PART_MODEL, DT_PART_OPTIMIZER, DT_PART_CONFIG, DT_PART_COUNT } dt_part;
extern const char *const dt_part_file[DT_PART_COUNT];
extern const char dt_manifest_file[];

typedef struct dt_manifest {
  int64_t samples_seen, step;
  dt_watch watch[DT_WATCH_COUNT];
  dt_epoch_sums epoch;
  dt_checkpoint_set train, eval;
  bool evaluation_due;
  char *fingerprint;
  dt_file_sum part[DT_PART_COUNT];
} dt_manifest;

/* Text of a manifest: JSON with sorted keys whose first member is the XXH3-128 of the whole text, taken with that member's
 * digits as zeros. Returns new (free). */
dt_status dt_manifest_print(const dt_manifest *manifest, char **out_text);
/* Checks the checksum before anything else looks at the text, then the version, then every member. DT_CHECKPOINT. */
dt_status dt_manifest_parse(const uint8_t *text, size_t bytes, dt_manifest *out);
void dt_manifest_clear(dt_manifest *manifest);
/* Whether both hold the same state: every file and every counter, whatever machine wrote them. */
bool dt_manifest_same_state(const dt_manifest *a, const dt_manifest *b);

/* A folder's place in its directory. */
typedef struct dt_candidate {
  char name[DT_CHECKPOINT_NAME];
  int64_t step, samples_seen;
} dt_candidate;
/* step-<10 to 18 digits>-samples-<12 to 18 digits>: true with both numbers and the name. */
bool dt_candidate_parse(const char *name, dt_candidate *out);
void dt_candidate_name(int64_t step, int64_t samples_seen, char name[DT_CHECKPOINT_NAME]);
/* Folders of a directory that are named like a checkpoint, newest first. Returns new (free). DT_IO, DT_MEMORY. */
dt_status dt_candidate_list(int dir_fd, const char *label, dt_candidate **out, int *out_count);

/* Opens a folder below dir_fd, never through a link. */
dt_status dt_candidate_open(int dir_fd, const char *name, int *out_fd);
/* The bytes of one checkpoint folder, held and verified. */
typedef struct dt_contents {
  dt_manifest manifest;
  uint8_t *part[DT_PART_COUNT];
} dt_contents;
/* Reads and verifies a folder. `named` is what its name says, NULL when it says nothing. DT_CHECKPOINT, DT_IO. */
dt_status dt_contents_read(int folder_fd, const dt_candidate *named, dt_contents *out);
void dt_contents_clear(dt_contents *contents);
/* Whether a folder holds the bytes that were written, without holding them: while a training runs there is no memory to spare.
 * *out is to be cleared. `named` and errors as above. */
dt_status dt_manifest_check(int folder_fd, const dt_candidate *named, dt_manifest *out);

/* dt_safetensors_write that also tells what it has written. */
dt_status dt_safetensors_write_sum(int dir_fd, const char *file, const dt_tensor_ref *tensor, int count, dt_file_sum *out);

#endif
