/* The contract between the program and the plug-in with the gpu device, libdtrain_gpu.so: it is loaded when a gpu is asked for,
 * so that one program starts on machines with and without CUDA. The two are built from one tree and check that they are. */
#ifndef DT_CORE_PLUGIN_H
#define DT_CORE_PLUGIN_H

#include <stdarg.h>

#include "core/device.h"

/* What the plug-in uses of the program: errors and allocations are counted in one place. */
typedef struct dt_host {
  dt_status (*error_set)(dt_status status, const char *file, int line, const char *format, va_list args);
  dt_status (*alloc)(size_t count, size_t bytes, void *out_pointer);
  void (*error_clear)(void);                           /* dt_error_clear */
  dt_status (*agree)(dt_comm *comm, dt_status status); /* dt_comm_agree */
} dt_host;

typedef struct dt_plugin {
  const char *build;   /* DT_PLUGIN_BUILD of the tree it was built from */
  size_t device_bytes; /* DT_PLUGIN_BYTES there: equal, or not one tree */
  dt_status (*create)(const dt_host *host, const dt_device_options *options, dt_device **out);
} dt_plugin;

enum {
  DT_PLUGIN_BYTES = sizeof(dt_device_ops) + sizeof(dt_stream_ops) + sizeof(dt_own_memory_ops) + sizeof(dt_library_ops) +
                    sizeof(dt_device) + sizeof(dt_program) + sizeof(dt_instr) + sizeof(dt_run)
};

/* Whether there is a plug-in to load: builds without the CUDA Toolkit have none. One that was named counts, so that a name
 * that is wrong is an error when it is loaded. */
bool dt_plugin_exists(void);
/* Whether the NVIDIA driver is installed, which costs next to nothing to find out; a plug-in that was named needs none. */
bool dt_plugin_has_driver(void);

/* Whether a folder of devices as Linux keeps it in /sys/bus/pci/devices names a GPU of NVIDIA's: without a driver nothing else
 * tells that there is one. */
extern const char dt_pci_devices[];
bool dt_pci_has_gpu(const char *devices);

/* The one symbol of the plug-in: `const dt_plugin *dt_gpu_plugin(void)`. */
#define DT_PLUGIN_SYMBOL "dt_gpu_plugin"
typedef const dt_plugin *dt_plugin_entry(void);

#endif
