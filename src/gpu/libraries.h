/* cuDNN and cuBLASLt: their handles, and the plans made with them. A plan is made when lowering asks what an instruction needs
 * and is found again by what it computes when the instruction is issued; nothing is chosen by timing, so that equal programs on
 * equal GPUs compute equal bits. */
#ifndef DT_GPU_LIBRARIES_H
#define DT_GPU_LIBRARIES_H

#include <cublasLt.h>
#include <cudnn.h>

#include "gpu/gpu.h"

typedef struct dt_gpu_conv_plan dt_gpu_conv_plan;     /* conv_plan.h */
typedef struct dt_gpu_linear_plan dt_gpu_linear_plan; /* linear.c */

struct dt_gpu_libraries {
  const dt_gpu_model *model;           /* NULL with a device */
  cudnnHandle_t cudnn;                 /* NULL without one: plans are made, nothing runs */
  cublasLtHandle_t cublas;             /* likewise */
  cudnnBackendDescriptor_t properties; /* of the model, which plans are made for; NULL with a device: then it is the handle's */
  dt_gpu_conv_plan *conv;              /* lists of all plans, the newest first */
  dt_gpu_linear_plan *linear;
};

/* Raises what a library's call returned: DT_MEMORY or DT_ENVIRONMENT with the call, the error's text and the library's own
 * last words. */
dt_status dt_gpu_check_cudnn(cudnnStatus_t code, const char *call, const char *file, int line);
dt_status dt_gpu_check_cublas(cublasStatus_t code, const char *call, const char *file, int line);
#define DT_CUDNN(call) DT_TRY(dt_gpu_check_cudnn((call), #call, __FILE__, __LINE__))
#define DT_CUBLAS(call) DT_TRY(dt_gpu_check_cublas((call), #call, __FILE__, __LINE__))

/* Frees the plans of a kind. */
void dt_gpu_conv_plans_free(dt_gpu_libraries *libraries);
void dt_gpu_linear_plans_free(dt_gpu_libraries *libraries);
/* Writes what computes an instruction, "cudnn engine 46 k2=11, workspace 131 B", making the plan if there is none. */
enum { DT_GPU_CHOICE_TEXT = 192, DT_GPU_PLAN_TEXT = 256 };
dt_status dt_gpu_conv_describe(const dt_gpu *gpu, const dt_program *program, const dt_instr *instr, char *text);
dt_status dt_gpu_linear_describe(const dt_gpu *gpu, const dt_program *program, const dt_instr *instr, char *text);

#endif
