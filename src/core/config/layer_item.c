#include "core/config/layer_item.h"
#include "core/config/rows.h"

const dt_option dt_layer_item_options[] = {
    DT_ROW_STRING(
        "name", offsetof(dt_layer_item, name), "",
        "What the layer is called: in `from` and `share`, in overrides, in print-outs and in checkpoints; within a list no "
        "two are called alike. Letters, digits, `_` and `-`, a letter first. First values are drawn by name. Left out: the "
        "kind, counted within the list.",
        .max = 64),
    DT_ROW_STRINGS(
        "from", offsetof(dt_layer_item, from), "",
        "The layers or inputs that it reads, all of them before it: one name, or a list of as many as the kind takes. A name "
        "is looked for in the list in which it stands, then in the lists around it; `residual2.conv1` is within another "
        "layer. Left out: the layer before, or what the list begins with."),
    DT_ROW_STRINGS(
        "share", offsetof(dt_layer_item, share), "",
        "Layers of the same kind before it, or single parameters (`enc1.weight`), whose parameters it uses in place of its "
        "own: one name or a list. A composite shares layer by layer. The gradient is the sum of what all users give; running "
        "statistics are each layer's own."),
    DT_ROW_BOOL(
        "freeze", offsetof(dt_layer_item, freeze), "false",
        "Whether its parameters and running statistics stay as they are, of a composite all within it; below the first layer "
        "that is trained no gradient is computed."),
    DT_ROW_REAL("lr_scale", offsetof(dt_layer_item, lr_scale), "1", 0, 1e6,
                "Times the learning rate, for its parameters; what stands around it multiplies."),
    DT_ROW_BOOL("decay", offsetof(dt_layer_item, decay), "true",
                "Whether weight decay, `l1`, `l2` and `max_norm` apply to its parameters, of a composite to any within it."),
    {0},
};

const dt_layer_item *dt_layer_item_of(const dt_choice *choice) {
  static const dt_layer_item none = {.name = "", .lr_scale = 1, .decay = true};
  return choice->beside != NULL ? choice->beside : &none;
}
