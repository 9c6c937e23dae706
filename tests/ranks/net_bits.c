/* The bits that every network of support/cases.h, and every optimizer, comes to after a few steps on these ranks and threads: a
 * line for each on rank 0, NAME HASH, which tests/ranks/cases.sh compares.
 *
 *   mpirun -np N net_bits THREADS */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "comm/comm.h"
#include "core/config/kinds.h"
#include "cpu/cpu.h"
#include "support/cases.h"
#include "support/net.h"

enum { STEPS = 2, SHARDS = 4 };

static uint64_t hash_block(const net *n, net_block block, int64_t count, uint64_t seed) {
  double *value = net_memory((size_t)count * sizeof(double));
  net_read(n, block, 0, count, value);
  uint64_t hash = XXH3_64bits_withSeed(value, (size_t)count * sizeof(double), seed);
  free(value);
  return hash;
}

/* Parameters, running statistics and the sums of the last step. */
static uint64_t train(const net_case *row, const char *optimizer, dt_comm *comm, int threads) {
  net n;
  net_sums sums;
  net_options options = {
      .input = row->input,
      .layers = row->layers,
      .loss = row->loss,
      .metrics = row->metrics,
      .byte_targets = row->byte_targets,
      .optimizer = optimizer,
      .global_batch = row->global_batch,
      .shards = row->global_batch < SHARDS ? (int)row->global_batch : SHARDS,
      .pixels = row->pixels,
      .lr = 0.05,
      .clip_norm = 5,
      .device = dt_cpu_create,
      .threads = threads,
      .comm = comm,
  };
  net_open(&n, &options);
  net_fill(&n);
  for (int step = 0; step < STEPS; step++)
    net_step(&n, step == 0 ? "first" : "second", row->samples, step * row->samples, &sums);
  uint64_t hash = hash_block(&n, NET_PARAM, n.train->param_elements, 0);
  hash = hash_block(&n, NET_STATE, n.train->state_elements, hash);
  hash = XXH3_64bits_withSeed(sums.sum, sizeof sums.sum, hash);
  net_close(&n);
  return hash;
}

static const net_case *find_case(const char *name) {
  for (int i = 0; i < net_case_count; i++) {
    if (strcmp(net_cases[i].name, name) == 0) return &net_cases[i];
  }
  fprintf(stderr, "there is no case %s\n", name);
  exit(1);
}

int main(int argc, char **argv) {
  dt_comm *comm = NULL;
  int threads = argc > 1 ? atoi(argv[1]) : 1;
  if (dt_comm_create(&argc, &argv, &comm) != DT_OK) return 1;
  for (int i = 0; i < net_case_count; i++) {
    uint64_t hash = train(&net_cases[i], "{sgd: {momentum: 0.9, weight_decay: 1e-3}}", comm, threads);
    if (comm->rank == 0) printf("%s %016llx\n", net_cases[i].name, (unsigned long long)hash);
  }
  for (const dt_kind *const *kind = dt_optimizer_kinds; *kind != NULL; kind++) {
    char text[64];
    snprintf(text, sizeof text, "{%s: {}}", (*kind)->name);
    uint64_t hash = train(find_case("resnet"), text, comm, threads);
    if (comm->rank == 0) printf("optimizer %s %016llx\n", (*kind)->name, (unsigned long long)hash);
  }
  comm->ops->destroy(&comm);
  return 0;
}
