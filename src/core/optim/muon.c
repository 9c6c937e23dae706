#include "core/optim/muon.h"

#include <stddef.h>

#include "core/config/rows.h"
#include "core/optim/optimizer.h"

#define RULE_FILE "core/optim/muon.h"
#define RULE_NAME muon
#define RULE_DIRECTS
#include "core/optim/loops.h"

static dt_status emit_orthogonalise(dt_builder *b, int *out_buffer) {
  dt_builder_emit_step(b, DT_OP_DIRECTION);
  dt_builder_emit_step(b, DT_OP_ORTHOGONALISE);
  return DT_OK;
}

static const dt_optimizer muon = {
    .name = "muon",
    .slots = DT_OPTIMIZER_SLOTS(muon),
    .slot_name = {"momentum", "exp_avg_sq"},
    .update_f32 = muon_update_f32,
    .update_f64 = muon_update_f64,
    .direct_f32 = muon_direct_f32,
    .direct_f64 = muon_direct_f64,
    .emit = emit_orthogonalise,
};

static const char *const scales[] = {"match_rms_adamw", "original", NULL};

static const dt_option options[] = {
    DT_ROW_REAL("momentum", offsetof(dt_muon_attr, momentum), "0.95", 0, 1, "Share of a matrix's momentum that is kept.",
                .open_max = true, .scheduled = true),
    DT_ROW_REAL("weight_decay", offsetof(dt_muon_attr, weight_decay), "0.1", 0, 1,
                "Subtracts lr * weight_decay * p from each parameter p.", .scheduled = true),
    DT_ROW_BOOL("nesterov", offsetof(dt_muon_attr, nesterov), "true", "Looks ahead along the momentum."),
    DT_ROW_ENUM(
        "scale", offsetof(dt_muon_attr, scale), "match_rms_adamw", scales,
        "What a matrix's update is multiplied by: match_rms_adamw, 0.2 * sqrt(the larger of rows and columns), which makes it "
        "as large as one of adamw, so that one learning rate fits both; original, sqrt(max(1, rows / columns))."),
    DT_ROW_REAL("beta1", offsetof(dt_muon_attr, beta1), "0.9", 0, 1, "As adamw's, of parameters that are no matrices.",
                .open_max = true),
    DT_ROW_REAL("beta2", offsetof(dt_muon_attr, beta2), "0.95", 0, 1, "As adamw's, of parameters that are no matrices.",
                .open_max = true),
    DT_ROW_REAL("eps", offsetof(dt_muon_attr, eps), "1e-8", 0, 1, "As adamw's, of parameters that are no matrices.",
                .open_min = true),
    {0},
};

const dt_kind dt_optimizer_muon = {
    .name = "muon",
    .doc =
        "Momentum whose matrices are made orthogonal: m = m + (1 - momentum) * (gradient - m); u = gradient + momentum * (m - "
        "gradient); p = p - lr * weight_decay * p - lr * scale * o, o being u brought near to an orthogonal matrix by five "
        "steps of "
        "Newton and Schulz (Jordan et al., 2024). Weights of two dimensions and more are matrices, a row for each of the "
        "first; "
        "the others, biases and those of normalisations, are adamw's. The same as torch.optim.Muon, but for the half precision "
        "in "
        "which that makes matrices orthogonal.",
    .options = options,
    .attr_bytes = sizeof(dt_muon_attr),
    .impl = &muon,
};
