// SPDX-License-Identifier: Apache-2.0
#include "vene/interventions/rotation.h"

#include <torch/types.h>
#include <torch/utils.h>

#include <optional>

#include "src/interventions/room.h"
#include "vene/base/error.h"
#include "vene/base/names.h"

namespace vene {
namespace {

using torch::Tensor;

thread_local bool open_rotations = false;

Tensor leading_identity(const Tensor& like) {
  return torch::eye(like.size(0), like.size(1), like.options());
}

// What the parameter's lower triangle says.
Tensor lower(const Tensor& x) {
  return x.tril(-1);
}

// Reflectors: columns with ones on the diagonal and zeros above it.
Tensor reflectors(const Tensor& x) {
  return lower(x) + leading_identity(x);
}

// H_0 H_1 ... = I - V T V' (compact WY). T's inverse is V'V's upper triangle with half its diagonal.
Tensor inverse_factor(const Tensor& v) {
  // Sums over many rows lose digits in single precision; for a tall matrix double costs little.
  const Tensor wide = v.size(0) > 4 * v.size(1) ? v.to(torch::kFloat64) : v;
  const Tensor gram = wide.t().matmul(wide).to(v.scalar_type());
  return gram.triu(1) + torch::diag(gram.diagonal() / 2);
}

// (I - V T V') x
Tensor reflect(const Tensor& v, const Tensor& x) {
  return x - v.matmul(torch::linalg_solve_triangular(inverse_factor(v), v.t().matmul(x), /*upper=*/true));
}

Tensor householder(const Tensor& x) {
  const Tensor v = reflectors(x);
  const Tensor top = v.slice(0, 0, v.size(1)).t();
  return v.matmul(torch::linalg_solve_triangular(inverse_factor(v), top, /*upper=*/true)) - leading_identity(x);
}

// What is solved for here, the identity less something skew, is never singular: no device has to be asked.
Tensor solved(const Tensor& a, const Tensor& b, bool left = true) {
  return std::get<0>(torch::linalg_solve_ex(a, b, left, /*check_errors=*/false));
}

// A = L E' - E L' = U V' with U = [L, E], V = [E, -L]: what is wanted of a function of A needs its 2 rank x 2 rank core
// V'U alone.
struct LowRankSkew {
  explicit LowRankSkew(const Tensor& x) {
    const Tensor l = lower(x);
    const std::int64_t rank = x.size(1);
    const Tensor top = l.slice(0, 0, rank);
    const Tensor one = torch::eye(rank, x.options());
    u = torch::cat({l, leading_identity(x)}, 1);
    core = torch::cat({torch::cat({top, one}, 1), torch::cat({-l.t().matmul(l), -top.t()}, 1)}, 0);
    start = torch::cat({one, -top.t()}, 0);  // V'E
  }
  Tensor u, core, start;
};

Tensor cayley(const Tensor& x) {
  const std::int64_t width = x.size(0);
  const std::int64_t rank = x.size(1);
  if (2 * rank >= width) {
    Tensor l = lower(x);
    if (rank < width) l = torch::cat({l, torch::zeros({width, width - rank}, x.options())}, 1);
    const Tensor one = torch::eye(width, x.options());
    return 2 * solved(one - (l - l.t()) / 2, leading_identity(x)) - leading_identity(x);
  }
  const LowRankSkew a(x);
  const Tensor one = torch::eye(2 * rank, x.options());
  return leading_identity(x) + a.u.matmul(solved(one - a.core / 2, a.start));
}

Tensor matrix_exponential(const Tensor& x) {
  const std::int64_t width = x.size(0);
  const std::int64_t rank = x.size(1);
  if (width == rank) {
    const Tensor l = lower(x);
    const Tensor q = torch::matrix_exp(l - l.t());
    if (x.scalar_type() == torch::kFloat64) return q;
    // The squarings lose digits. A Newton step towards the nearest orthogonal matrix brings them back: an error e
    // becomes e^2.
    return 1.5 * q - 0.5 * q.matmul(q.t().matmul(q));
  }
  // exp(UV')E = E + U f(V'U) V'E with f(M) = (exp(M) - I) / M, read off the exponential of [[M, V'E], [0, 0]]. The core
  // is far from normal where X is large, so that single precision would lose the orthogonality.
  const Tensor wide = x.to(torch::kFloat64);
  const LowRankSkew a(wide);
  const Tensor block =
      torch::cat({torch::cat({a.core, a.start}, 1), torch::zeros({rank, 3 * rank}, wide.options())}, 0);
  return (leading_identity(wide) + a.u.matmul(torch::matrix_exp(block).slice(0, 0, 2 * rank).slice(1, 2 * rank)))
      .to(x.scalar_type());
}

// A normal draw's Q, its columns' signs fixed as torch.nn.init.orthogonal_ fixes them.
Tensor orthogonal(const Tensor& draw) {
  const auto [q, r] = torch::linalg_qr(draw);
  return q * r.diagonal().sign();
}

bool is_orthogonal(const Tensor& w) {
  const Tensor error = w.t().matmul(w) - torch::eye(w.size(1), w.options());
  return error.abs().max().item<double>() <=
         100 * static_cast<double>(w.size(0)) * (w.scalar_type() == torch::kFloat64 ? 2.3e-16 : 1.2e-7);
}

Tensor find(const NamedTensors& state, const std::string& name) {
  for (const auto& [key, tensor] : state) {
    if (key == name) return tensor;
  }
  return {};
}

}  // namespace

OpenRotations::OpenRotations() noexcept : outer_(open_rotations) {
  open_rotations = true;
}
OpenRotations::~OpenRotations() {
  open_rotations = outer_;
}

RotationMap parse_rotation_map(std::string_view name, std::int64_t width, std::int64_t rank) {
  if (name == "householder") return RotationMap::kHouseholder;
  if (name == "matrix_exponential") return RotationMap::kMatrixExponential;
  if (name == "cayley") return RotationMap::kCayley;
  if (name == "auto") return rank < width ? RotationMap::kHouseholder : RotationMap::kCayley;
  throw ConfigError("map: unknown map '" + std::string(name) + "'" +
                    name_hint(name, {"auto", "householder", "matrix_exponential", "cayley"}));
}

RotationImpl::RotationImpl(std::int64_t width, std::int64_t rank, RotationMap map, std::int64_t seed)
    : width_(width), rank_(rank), map_(map) {
  if (width < 1 || rank < 1 || rank > width) {
    throw ConfigError("low_rank_dimension " + std::to_string(rank) + " does not fit a width of " +
                      std::to_string(width) + "; expected 1 to " + std::to_string(width));
  }
  detail::need_room("low_rank_dimension", rank, width, 4);
  const torch::NoGradGuard no_grad;
  std::optional<at::Generator> generator;
  if (seed >= 0) generator = at::make_generator<at::CPUGeneratorImpl>(static_cast<std::uint64_t>(seed));
  const Tensor draw = torch::empty({width, rank}).normal_(0, 1, generator);
  // torch names them parametrizations.weight.original and parametrizations.weight.0.base: a module a dot.
  auto parametrizations = register_module("parametrizations", std::make_shared<Module>());
  auto weight = parametrizations->register_module("weight", std::make_shared<Module>());
  auto first = weight->register_module("0", std::make_shared<Module>());
  original_ = weight->register_parameter("original", -leading_identity(draw));
  base_ = first->register_buffer("base", torch::empty({width, rank}));
  code_ = first->register_buffer("map", torch::tensor(static_cast<std::int64_t>(map)));
  if (open_rotations) {
    base_.zero_();
  } else {
    set_base(orthogonal(draw));
  }
}

void RotationImpl::set_base(const Tensor& start) {
  if (rank_ == width_) {
    base_.set_data(start.clone());
    return;
  }
  const Tensor packed = std::get<0>(torch::geqrf(start)).tril(-1);
  // Reflectors leave signs open, which the diagonal keeps.
  const Tensor reached = reflect(reflectors(packed), leading_identity(packed));
  const Tensor agreement = (reached * start).sum(0);
  packed.diagonal().copy_(agreement.sign());
  base_.set_data(packed);
}

Tensor RotationImpl::from_base(const Tensor& coordinates) const {
  if (base_.size(1) == width_) return base_.matmul(coordinates);
  const Tensor signs = torch::cat({base_.diagonal(), torch::ones({width_ - rank_}, base_.options())});
  return reflect(reflectors(base_), signs.unsqueeze(1) * coordinates);
}

Tensor RotationImpl::coordinates() const {
  switch (map_) {
    case RotationMap::kHouseholder:
      return householder(original_);
    case RotationMap::kMatrixExponential:
      return matrix_exponential(original_);
    case RotationMap::kCayley:
      return cayley(original_);
  }
  return {};
}

Tensor RotationImpl::weight() const {
  if (map_ == RotationMap::kCayley && rank_ == width_ && base_.size(1) == width_) {
    // B (I - A/2)^-1 (I + A/2) = 2 B (I - A/2)^-1 - B: one factorisation, and no product after it.
    const Tensor l = lower(original_);
    const Tensor one = torch::eye(width_, original_.options());
    return 2 * solved(one - (l - l.t()) / 2, base_, /*left=*/false) - base_;
  }
  return from_base(coordinates());
}

void RotationImpl::set_weight(const Tensor& weight) {
  if (weight.dim() != 2 || weight.size(0) != width_ || weight.size(1) != rank_) {
    throw PlanError("a rotation's weight has shape " + shape_text(weight.sizes()) + ", expected [" +
                    std::to_string(width_) + ", " + std::to_string(rank_) + "]");
  }
  const torch::NoGradGuard no_grad;
  const Tensor start = weight.detach().to(original_.options());
  set_base(is_orthogonal(start) ? start : orthogonal(start));
  original_.copy_(-leading_identity(original_));
}

Tensor RotationImpl::dense_base() const {
  const torch::NoGradGuard no_grad;
  return base_.size(1) == width_ ? base_.clone() : from_base(torch::eye(width_, base_.options()));
}

void RotationImpl::expect(const NamedTensors& state, const std::string& prefix, const std::string& where) {
  const std::string folder = prefix + ".parametrizations.weight.";
  const Tensor base = find(state, folder + "0.base");
  const Tensor original = find(state, folder + "original");
  const Tensor code = find(state, folder + "0.map");
  if (code.defined()) {
    const double value = code.item<double>();
    if (value != 0 && value != 1 && value != 2)
      throw IoError(where + ": the rotation's map is number " + std::to_string(value) + ", expected 0, 1 or 2");
    map_ = static_cast<RotationMap>(static_cast<int>(value));
  } else {
    map_ = rank_ < width_ ? RotationMap::kHouseholder : RotationMap::kMatrixExponential;  // pyvene's
    const bool fits =
        original.defined() && original.dim() == 2 && original.size(0) == width_ && original.size(1) == rank_;
    if (fits && rank_ < width_ && !(original.diagonal().trunc() == -1).all().item<bool>()) {
      throw IoError(where + ": the diagonal of '" + folder +
                    "original' is not -1 (weight decay does that in pyvene), which makes its rotation zero");
    }
  }
  code_.fill_(static_cast<std::int64_t>(map_));
  const std::vector<std::int64_t> square{width_, width_};
  if (base.defined() && base.sizes() == square && base_.sizes() != square)
    base_.set_data(torch::empty(square, base_.options()));
  if (base.defined() && base.sizes() != square && base_.sizes() == square && rank_ < width_)
    base_.set_data(torch::empty({width_, rank_}, base_.options()));
}

}  // namespace vene
