/* cuDNN and cuBLASLt: their handles, and the plans made with them. A plan is made when lowering asks what an instruction needs
 * and is found again by what it computes when the instruction is issued. Nothing is chosen by timing then, so that equal
 * programs on equal GPUs compute equal bits: the library's heuristics choose, or a plan table that was timed before
 * (plan_table.h, tune.c). */
#ifndef DT_GPU_LIBRARIES_H
#define DT_GPU_LIBRARIES_H

#include <cublasLt.h>
#include <cudnn.h>

#include "core/program/lowering.h"
#include "gpu/gpu.h"
#include "gpu/plan_table.h"

enum { DT_GPU_PLAN_TEXT = DT_GPU_CHOICE_TEXT + 64 };

/* Whether a plan for several shards at once gives each the bits that it has alone, which has to be seen: prove.c. */
typedef enum dt_gpu_batching {
  DT_GPU_UNPROVEN,
  DT_GPU_INVARIANT, /* it does */
  DT_GPU_DEPENDENT, /* it does not: shards are computed one by one */
  DT_GPU_SEPARATE,  /* so they are for want of a plan */
} dt_gpu_batching;

/* How one instruction is computed. */
typedef struct dt_gpu_plan {
  struct dt_gpu_plan *next;
  bool found;                      /* by the library; else the direct kernels compute it */
  bool fused;                      /* bias and relu are in the plan, as far as the instruction has them */
  size_t workspace;                /* bytes */
  dt_gpu_batching batching;        /* of a plan for several shards */
  bool seen;                       /* by prove.c, on as many shards as it is for */
  char choice[DT_GPU_CHOICE_TEXT]; /* as a plan table has it: makes the same plan again; "" when it can't be told */
  char text[DT_GPU_PLAN_TEXT];     /* for plans.txt: all of the choice, and how exact it is */
} dt_gpu_plan;

struct dt_gpu_libraries {
  const dt_gpu_model *model;            /* NULL with a device */
  size_t cudnn_version, cublas_version; /* as the libraries give them: 91900 is cuDNN 9.19.0, 130100 cuBLASLt 13.1.0 */
  char versions[64];                    /* the same as text */
  int capability;                       /* of the GPU or the model: 900 is 9.0 */
  cudnnHandle_t cudnn;                  /* NULL without one: plans are made, nothing runs */
  cudaStream_t cudnn_stream;            /* that the handle has */
  cublasLtHandle_t cublas;              /* NULL without a device */
  cudnnBackendDescriptor_t properties;  /* of the model; NULL with a device */
  char machine[DT_GPU_MACHINE_TEXT];    /* the GPU and the libraries, as plan tables name them */
  dt_gpu_plan_table *table;             /* NULL: none */
  dt_gpu_plan *conv, *linear;           /* lists of all plans, the newest first */
};

/* Raises what a library's call returned: DT_MEMORY or DT_ENVIRONMENT with the call, the error's text and the library's own
 * last words. */
dt_status dt_gpu_check_cudnn(cudnnStatus_t code, const char *call, const char *file, int line);
dt_status dt_gpu_check_cublas(cublasStatus_t code, const char *call, const char *file, int line);
#define DT_CUDNN(call) DT_TRY(dt_gpu_check_cudnn((call), #call, __FILE__, __LINE__))
#define DT_CUBLAS(call) DT_TRY(dt_gpu_check_cublas((call), #call, __FILE__, __LINE__))

/* The choices that a library offers for an instruction, each once. */
typedef struct dt_gpu_offers {
  char (*choice)[DT_GPU_CHOICE_TEXT]; /* [room] */
  int count, room;
} dt_gpu_offers;
/* Adds a choice; one that is there, or for which there is no room, is left out. */
void dt_gpu_offers_add(dt_gpu_offers *offers, const char *choice);

/* Operands in device memory, in the value type; what is not there is NULL. The operation writes Y, X (DGRAD) or W (WGRAD; of
 * several shards one behind the other, dt_gpu_gradient_stride apart). */
typedef struct dt_gpu_operands {
  void *x, *w, *y;   /* w of WGRAD is in the plan's gradient_type */
  const void *low;   /* the bias in the value type, */
  const float *bias; /* and in float */
} dt_gpu_operands;
/* Elements of each; those of the bias are the rest of Y by the number of samples and places. */
typedef struct dt_gpu_counts {
  int64_t x, w, y, bias;
} dt_gpu_counts;

/* What an operation that a library computes is to print_plans and to tune.c. */
typedef struct dt_gpu_library {
  /* What is computed, as a plan table names it; DT_GPU_WHAT_TEXT bytes. */
  void (*what)(const dt_gpu *gpu, const dt_program *program, const dt_instr *instr, char *text);
  /* The plan for so many shards at once, made if there is none yet; borrows from gpu. One shard's is chosen; that of several is
   * the same choice over more samples (of LINEAR_WGRAD over a batch of products), and is SEPARATE where there is none. */
  dt_status (*get)(const dt_gpu *gpu, const dt_program *program, const dt_instr *instr, int shards, dt_gpu_plan **out);
  /* Makes one shard's plan of a choice, or of the heuristics' where it is NULL; *out is NULL where the library refuses it. */
  dt_status (*make)(const dt_gpu *gpu, const dt_program *program, const dt_instr *instr, const char *choice, dt_gpu_plan **out);
  void (*destroy)(dt_gpu_plan *plan);
  /* All choices that keep to the precision and to one order of sums; some may be refused. */
  dt_status (*offer)(const dt_gpu *gpu, const dt_program *program, const dt_instr *instr, dt_gpu_offers *offers);
  dt_gpu_counts (*counts)(const dt_program *program, const dt_instr *instr); /* of one shard */
  /* Type in which a plan for WGRAD writes W: F32, or the value type. */
  dt_gpu_type (*gradient_type)(const dt_gpu *gpu, const dt_gpu_plan *plan);
  dt_status (*compute)(const dt_gpu *gpu, const dt_gpu_plan *plan, const dt_gpu_operands *operands, void *work,
                       cudaStream_t stream);
} dt_gpu_library;
/* Bytes: operands that libraries get begin at multiples of this, as their plans count on. Parameters do so in their block (by
 * DT_ALIGN_ELEMENTS, in 16-bit types); buffers and gradients are aligned better. */
enum { DT_GPU_OPERAND_ALIGN = DT_ALIGN_ELEMENTS * 2 };

/* Elements between the weight gradients of two shards: `count`, aligned as libraries like it. */
static inline int64_t dt_gpu_gradient_stride(int64_t count) {
  return (count + DT_GPU_ALIGN - 1) / DT_GPU_ALIGN * DT_GPU_ALIGN;
}

extern const dt_gpu_library dt_gpu_conv_library, dt_gpu_linear_library;
/* NULL for operations that are dtrain's own. */
const dt_gpu_library *dt_gpu_library_of(dt_op op);

/* An instruction that a library computes, with where it does it. */
typedef struct dt_gpu_call {
  const dt_gpu *gpu;
  const dt_program *program;
  const dt_instr *instr;
  const dt_gpu_library *library;
  void *work;
  cudaStream_t stream;
} dt_gpu_call;
dt_status dt_gpu_call_of(const dt_run *run, const dt_instr *instr, const dt_micro_batch *micro, dt_gpu_call *out);
/* Its operands in the run. WGRAD: w is where the plan writes the shards' gradients, and *out_dw where their sum goes, which is
 * the same for a single shard in float; else *out_dw is NULL. */
dt_status dt_gpu_operands_of(const dt_gpu_call *call, const dt_run *run, const dt_micro_batch *micro, const dt_gpu_plan *alone,
                             dt_gpu_operands *out, float **out_dw);
/* Computes shard after shard with the plan of one; operands are those of all. Those of a shard that begin at no multiple of
 * DT_GPU_OPERAND_ALIGN are copied to and from WORK. */
dt_status dt_gpu_compute_by_shard(const dt_gpu_call *call, const dt_gpu_plan *alone, int shards,
                                  const dt_gpu_operands *operands);

/* Raises DT_USAGE for an entry of a plan table that a library, or we, refuse. */
dt_status dt_gpu_refuse_entry(const dt_gpu_plan_entry *entry, const char *library);
struct dt_gpu_erratum; /* errata.h */
dt_status dt_gpu_refuse_erratum(const dt_gpu_plan_entry *entry, const dt_gpu *gpu, const struct dt_gpu_erratum *erratum);
/* The name of an operation that a library computes, as the program's print-out and plan tables have it. */
const char *dt_gpu_op_name(dt_op op);

/* Frees a list of plans. */
void dt_gpu_plans_free(dt_gpu_plan **list, void (*destroy)(dt_gpu_plan *plan));

/* cudnn_complete.c: DT_ENVIRONMENT where a part of cuDNN is missing. The parts are to be checked before cuDNN is called at all;
 * the plans once there is a handle or a model: one ordinary convolution must have one. */
dt_status dt_gpu_cudnn_check_parts(void);
dt_status dt_gpu_cudnn_check_plans(const dt_gpu *gpu);

#endif
