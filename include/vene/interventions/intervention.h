// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <torch/nn/module.h>

#include <any>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "vene/base/export.h"
#include "vene/interventions/option.h"
#include "vene/interventions/subspace.h"

namespace vene {

/// What the library must know of an intervention before it runs one.
struct Traits {
  bool needs_source = true;             ///< works with a value of a source run (or a constant in its place)
  bool takes_source = false;            ///< uses a source where one is given, and does without where none is
  bool collects = false;                ///< reads only: what it returns is collected, the model's value stays
  bool source_is_module_input = false;  ///< the source is the *input* of the site's module in the source run (skip)
  bool trainable = false;               ///< has parameters meant to be learned
  bool rows_independent = true;         ///< a row's result depends on that row alone, so that runs may share a batch
};

/// Tensors and their names, in order.
using NamedTensors = std::vector<std::pair<std::string, torch::Tensor>>;

/// What an intervention is built from: the fields of its RepresentationConfig that concern it.
struct InterventionSettings {
  std::int64_t width = 0;  ///< size of the feature axis times max_number_of_units; 0: not known before the run
  std::optional<std::int64_t> low_rank_dimension{};
  std::optional<std::int64_t> latent_dim{};
  SubspacePartition subspace_partition{};
  torch::Tensor source_representation{};  ///< constant source; undefined: none
  OptionValues options{};                 ///< complete: defaults filled in, types checked
};

/// What happens to the values gathered at a site. A module, so that parameters and buffers move, save and train with
/// the IntervenableModel that owns it. Stateless between calls and never in place.
class VENE_API Intervention : public torch::nn::Module {
 public:
  explicit Intervention(const InterventionSettings& settings = {});

  virtual Traits traits() const = 0;
  /// @param base      [batch, units..., width], the values found at the locations ([batch, width] for unit "t")
  /// @param source    the same shape, or undefined if the intervention needs none or none was given
  /// @param subspace  the columns to act on
  /// @return the new values in base's shape; for one that collects, what to collect; undefined: leave them alone
  virtual torch::Tensor forward(const torch::Tensor& base, const torch::Tensor& source, const Subspace& subspace) = 0;

  /// Constant source of this intervention: takes the place of a source run. Undefined: none.
  const torch::Tensor& source_representation() const { return source_representation_; }
  void set_source_representation(torch::Tensor value);
  const SubspacePartition& subspace_partition() const { return subspace_partition_; }
  /// The width that its parameters are made for; 0: it takes any. One made for `units` times the width of a value sees
  /// [batch, units * width] (of h.pos: [batch, positions, heads * width]) in the place of [batch, units..., width].
  std::int64_t width() const { return width_; }
  /// How many columns subspaces choose from, for a value of this width: those of its rotated or latent space.
  virtual std::int64_t subspace_width(std::int64_t value_width) const { return width_ > 0 ? width_ : value_width; }
  /// Without subspaces only the first so many columns are touched; empty: all.
  std::optional<std::int64_t> interchange_dim;

  /// Its parameters and buffers, by name: what is saved.
  NamedTensors state() const;
  /// Takes a saved state over, pyvene's included. IoError, beginning with `where`, names a tensor that is missing, not
  /// known or of another shape.
  virtual void restore(const NamedTensors& state, const std::string& where);
  /// The state under pyvene's names and in its form. IoError where pyvene could not load it.
  virtual NamedTensors pyvene_state() const;
  /// What pyvene calls interchange_dim: a count of leading columns (a scalar), or for some the columns themselves;
  /// undefined: not known.
  virtual torch::Tensor pyvene_dimension(std::int64_t value_width) const;

 protected:
  /// For one whose parameters have a width of their own: PlanError where the site's is not known.
  void require_width(const InterventionSettings& settings, const char* name);

  std::int64_t width_ = 0;
  torch::Tensor source_representation_;
  SubspacePartition subspace_partition_;
};

/// The firing that an intervention serves: for those that act by step, or keep something from step to step.
struct Firing {
  std::int64_t call = 0;       ///< of the site in this run: 0, 1, 2 ... (time steps, decoding steps)
  torch::Tensor rows{};        ///< int64, the rows of the batch that base holds; undefined: all of them
  std::any* state = nullptr;   ///< this representation's own; empty when a run begins, kept until it ends
  std::int64_t head_axis = 0;  ///< which of base's axes runs over heads; 0: none does
};
/// Of this thread, inside Intervention::forward. PlanError outside a run.
VENE_API const Firing& current_firing();

namespace detail {
/// The same, or nullptr outside a run.
VENE_API const Firing* firing_or_null();
/// Set by a run around each call of an intervention.
class VENE_API FiringGuard {
 public:
  explicit FiringGuard(Firing firing);
  ~FiringGuard();
  FiringGuard(const FiringGuard&) = delete;
  FiringGuard& operator=(const FiringGuard&) = delete;

 private:
  Firing firing_;
  const Firing* outer_;
};
}  // namespace detail

/// How `swap` combines the chosen columns of base and source.
enum class SwapMode : std::uint8_t { kInterchange, kAdd, kSubtract, kCollect };

/// The routine that most interventions share: base with its chosen columns replaced by (or added to, less) the
/// source's; kCollect returns the chosen columns alone. Out of place. Row i's columns apply to row i. A source with one
/// row, one unit or one vector is broadcast; any other mismatch throws PlanError. Source: pyvene's
/// _do_intervention_by_swap.
VENE_API torch::Tensor swap(const torch::Tensor& base, const torch::Tensor& source, const Subspace& subspace,
                            SwapMode mode, std::optional<std::int64_t> interchange_dim = std::nullopt);

/// The source in base's shape and dtype, one row, one unit or one vector broadcast; PlanError as in `swap`.
VENE_API torch::Tensor broadcast_source(const torch::Tensor& base, const torch::Tensor& source);
/// A subspace as zeros and ones over `width` columns, to multiply a value of `dimensions` with: [width], or where rows
/// differ [batch, 1..., width]. Without columns: undefined.
VENE_API torch::Tensor column_mask(const Subspace& subspace, std::int64_t dimensions, std::int64_t width,
                                   torch::TensorOptions options);

/// An intervention out of a function `Tensor(base, source, subspace)`; returning an undefined tensor leaves the value
/// alone. It cannot be saved.
using InterventionFunction = std::function<torch::Tensor(const torch::Tensor&, const torch::Tensor&, const Subspace&)>;
VENE_API std::shared_ptr<Intervention> make_lambda(InterventionFunction function,
                                                   Traits traits = {.needs_source = false, .takes_source = true});

}  // namespace vene
