// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <torch/types.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "vene/base/export.h"
#include "vene/core/intervenable_model.h"
#include "vene/models/load.h"

namespace vene {

/// Names that fall into classes, a text that holds one of them, and the token that goes on from it for each class:
/// "[name] walked because", " he" after the ones, " she" after the others.
struct VENE_API LocateTask {
  struct Class {
    std::string name{};
    std::string answer{};  ///< one token, with its leading space
    std::vector<std::string> names{};
  };
  std::string text{};  ///< has "[name]" once
  std::vector<Class> classes{};

  /// {"template": text, "classes": {class: [name, ...], ...}, "answers": {class: answer, ...}}. Throws ConfigError with
  /// the key.
  static LocateTask parse(std::string_view json);
  static LocateTask load(const std::string& path);
};

struct LocateOptions {
  std::string component = "block_output";
  /// Of a component that is cut into heads ("head_attention_value_output"), which is looked into
  std::optional<std::int64_t> head{};
  std::vector<std::int64_t> layers{};  ///< empty: all
  /// Of the grid, as `LocateResult::tokens` counts them; empty: all. Others stay NaN
  std::vector<std::int64_t> columns{};
  std::int64_t steps = 150;  ///< of Adam, with a learning rate that falls to 0 linearly
  double rate = 0.05;
  std::int64_t batch = 16;     ///< pairs a step
  std::int64_t pairs = 512;    ///< of a base and a source, at most: to train on, and as many to test on
  double test_share = 0.3;     ///< of each class's names; at least one name on either side
  bool keep_mistaken = false;  ///< also names after which the model puts another class's answer
  std::uint64_t seed = 1;      ///< of the split, the pairs, their order, and the directions' start
  /// Steps times cells; false stops, with a PlanError
  std::function<bool(std::size_t done, std::size_t all)> progress{};
};

/// The grid of layers x positions. Positions are the tokens before the name, the name's last token, and the tokens
/// after it.
struct LocateResult {
  struct Class {
    std::string name{}, answer{};
    std::int64_t answer_id = 0;
    std::vector<std::string> train{}, test{};  ///< names used
    std::vector<std::string> unaligned{};      ///< dropped: other tokens around them than around most names
    /// The model gives another class's answer after them; dropped unless `keep_mistaken`
    std::vector<std::string> mistaken;
  };
  std::string model{};  ///< where it came from; for whoever loaded it to say
  std::string dtype{};  ///< of its weights
  LocateTask task{};
  LocateOptions options{};
  std::vector<Class> classes{};
  std::vector<std::int64_t> layers{};  ///< -1 for a component outside the layers
  std::vector<std::string> tokens{};   ///< a column each; "[name]" is the name's last
  std::int64_t name_column = 0;
  std::int64_t train_pairs = 0, test_pairs = 0;
  /// Share of the names that could be aligned after which the model puts their class's answer
  double clean_accuracy = 0;
  /// [layers, columns], float64: share of the test pairs in which the answer of the source's class beats the other
  /// classes', after an interchange along the cell's one trained direction.
  torch::Tensor iia{};
  /// [layers, columns], float64: accuracy on test names of a logistic regression from the value at the cell.
  torch::Tensor probe{};
  /// [columns, width] a layer, rows of length one; zeros before the name, where there is nothing to train.
  std::vector<torch::Tensor> directions{};
};

/// Where does a model keep the class of a name? For each layer and position, trains a one-dimensional interchange
/// (distributed alignment search: does exchanging one direction between two names exchange the answer?) and a linear
/// probe (can the class be read there?). The cells of all layers at a position are trained together, as rows that join
/// one batch at their own layer's block; a cell's result does not depend on the others. Second case study of the pyvene
/// paper. Throws ConfigError for a task that does not fit the model, PlanError for a component that is no [batch, pos,
/// feature] or one head of it, ModelError for a model that cannot be cut into stages.
VENE_API LocateResult locate(const models::LanguageModel& model, const LocateTask& task,
                             const LocateOptions& options = {});

/// The trained directions as interventions, to be run or saved: one of the type `directions` a layer, in the order of
/// the result's layers. The subspace k of each is the direction of the k-th column from the name's on. PlanError for a
/// model of another width.
VENE_API IntervenableModel locate_interventions(const LocateResult& result, const models::LanguageModel& model);

/// layer,position,token,iia,probe
VENE_API std::string locate_csv(const LocateResult& result);
/// Everything needed to repeat it, and every figure.
VENE_API std::string locate_json(const LocateResult& result);

}  // namespace vene
