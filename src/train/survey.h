/* The survey of a data set by all ranks together (data/survey.h). */
#ifndef DT_TRAIN_SURVEY_H
#define DT_TRAIN_SURVEY_H

#include "comm/comm.h"
#include "data/data.h"

/* Reads every sample of a field in a store once, dealt over the ranks and so many threads of each, or takes the result that an
 * earlier run left; then leaves out on all ranks alike what cannot be read, where the store skips that, and knows the field's
 * statistics. All ranks have the same data set. Collective; an error is everyone's: a store's of the first sample that could
 * not be read, where the store does not skip. */
dt_status dt_survey_dataset(dt_comm *comm, dt_dataset *dataset, int field, int threads);

#endif
