/* What the files of the checkpoint share; see core/checkpoint.h for the contract. */
#ifndef DT_CORE_CHECKPOINT_PARTS_H
#define DT_CORE_CHECKPOINT_PARTS_H

#include "core/checkpoint.h"
#include "core/file.h"

enum { DT_CHECKPOINT_VERSION = 1, DT_CHECKPOINT_NAME = 64 };

/* The files a manifest vouches for, in the order in which they are written. */
typedef enum dt_part { DT_PART_MODEL, DT_PART_OPTIMIZER, DT_PART_CONFIG, DT_PART_COUNT } dt_part;
extern const char *const dt_part_file[DT_PART_COUNT];
extern const char dt_manifest_file[];

typedef struct dt_manifest {
  int64_t samples_seen, step;
  double best_accuracy;
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
  int64_t samples_seen;
} dt_candidate;
/* step-<12 to 18 digits>: true with the number. */
bool dt_candidate_parse(const char *name, int64_t *out_samples);
void dt_candidate_name(int64_t samples_seen, char name[DT_CHECKPOINT_NAME]);
/* Folders of a directory that are named like a checkpoint, newest first. Returns new (free). DT_IO, DT_MEMORY. */
dt_status dt_candidate_list(int dir_fd, const char *label, dt_candidate **out, int *out_count);

/* Opens a folder below dir_fd, never through a link. */
dt_status dt_candidate_open(int dir_fd, const char *name, int *out_fd);
/* The bytes of one checkpoint folder, held and verified. */
typedef struct dt_contents {
  dt_manifest manifest;
  uint8_t *part[DT_PART_COUNT];
} dt_contents;
/* Reads and verifies a folder. samples_expected is what its name says, -1 when it says nothing. DT_CHECKPOINT, DT_IO. */
dt_status dt_contents_read(int folder_fd, int64_t samples_expected, dt_contents *out);
void dt_contents_clear(dt_contents *contents);

/* dt_safetensors_write that also tells what it has written. */
dt_status dt_safetensors_write_sum(int dir_fd, const char *file, const dt_tensor_ref *tensor, int count, dt_file_sum *out);

#endif
