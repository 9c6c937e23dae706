/* work=FILE: when the process ends, writes what it has put on streams to FILE.D, D the number of its GPU: a line for each
 * stream (from 1, in the order in which the program makes them; 0 are all others) and kind of work, "STREAM NAME COUNT". What
 * is recorded does not count; a launch of a recording is one piece of work, "graph", however much is in it; "event" is a record
 * of an event. */
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>

#include "internal.h"

namespace {

using key = std::pair<long, std::string>;
std::map<key, long> &counts() {
  static auto &all = *new std::map<key, long>;
  return all;
}
int device; /* of the last call */

void write_counts() {
  char name[4096];
  snprintf(name, sizeof name, "%s.%d", emulator_text("work"), device);
  FILE *file = fopen(name, "w");
  bool written = file != nullptr;
  for (const auto &one : counts()) {
    written = written && fprintf(file, "%ld %s %ld\n", one.first.first, one.first.second.c_str(), one.second) > 0;
  }
  if (!written || fclose(file)) emulator_fail("work: cannot write %s", name);
}

}  // namespace

namespace emulated {

void count_work(const CUstream_st *stream, const char *name) {
  static const bool wanted = emulator_text("work") != nullptr && atexit(write_counts) == 0;
  if (!wanted || stream->recording) return;
  device = stream->device;
  counts()[{stream->number, name}]++;
}

}  // namespace emulated
