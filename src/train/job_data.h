/* The data sets of a job (job.h): loading them, what only reading all of them tells, and what stays in memory. */
#ifndef DT_TRAIN_JOB_DATA_H
#define DT_TRAIN_JOB_DATA_H

#include "train/job.h"

/* Loads what the kind of job needs, and compares it with the network. Not collective. DT_USAGE, a format's errors. */
dt_status dt_job_load_data(dt_job *job, bool on_train);
/* Surveys fields in stores where what is broken is to be left out or statistics are wanted. Collective; an error is
 * everyone's. */
dt_status dt_job_survey_data(dt_job *job);
/* Lines for the agreement of ranks. */
void dt_job_print_data(const dt_job *job, FILE *out);
/* Lets stores keep what they have read, where all of it fits into a quarter of the memory that is free for this rank. That is
 * no need of the run's, and in no plan. */
void dt_job_keep_samples(const dt_job *job);
/* Whether the i-th input's normalisation is measured on the training set. */
bool dt_job_measures(const dt_job *job, int i);

#endif
