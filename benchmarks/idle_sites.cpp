// SPDX-License-Identifier: Apache-2.0
// What hooks cost while nothing is hooked: a GPT-2-small-shaped body (12 layers, 768 wide) of hooked modules and hook
// points beside the same code over stock modules. Both share their weights; rounds take turns, so that whatever else
// the machine does meets both. Time is this thread's on the processor. Prints the ratio of the medians.
#include <time.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/normalization.h>
#include <torch/types.h>
#include <torch/utils.h>

#include <algorithm>
#include <cstdio>
#include <string>

#include "vene/hooks/hook_point.h"
#include "vene/hooks/hooked.h"

namespace {

using torch::Tensor;

// The parts of the body, plain and hooked.
struct Stock {
  template <class M>
  using Module = M;
  // No module and no call at all: the value is used where it is.
  static constexpr bool kPoints = false;
};
struct WithHooks {
  template <class M>
  using Module = vene::Hooked<M>;
  static constexpr bool kPoints = true;
};

template <class Kit>
struct Attention : torch::nn::Module {
  using Linear = typename Kit::template Module<torch::nn::LinearImpl>;
  Attention()
      : c_attn(register_module("c_attn", std::make_shared<Linear>(torch::nn::LinearOptions(768, 2304)))),
        c_proj(register_module("c_proj", std::make_shared<Linear>(torch::nn::LinearOptions(768, 768)))) {}
  Tensor point(vene::HookPoint& at, Tensor value) {
    if constexpr (Kit::kPoints) return at(std::move(value));
    return value;
  }
  static Tensor heads(const Tensor& value) {
    return value.view({value.size(0), value.size(1), 12, 64}).transpose(1, 2);
  }
  Tensor forward(const Tensor& hidden) {
    const std::vector<Tensor> parts = c_attn->forward(hidden).chunk(3, -1);
    const Tensor q = point(query, parts[0]), k = point(key, parts[1]), v = point(value, parts[2]);
    Tensor mixed;
    if (!Kit::kPoints || (!scores->watched() && !pattern->watched())) {
      mixed = at::scaled_dot_product_attention(heads(q), heads(k), heads(v), std::nullopt, 0.0, /*is_causal=*/true);
    }
    return point(output, c_proj->forward(mixed.transpose(1, 2).reshape(hidden.sizes())));
  }
  std::shared_ptr<Linear> c_attn, c_proj;
  vene::HookPoint query, key, value, scores, pattern, output;
};

struct GeluImpl : torch::nn::Module {
  Tensor forward(const Tensor& value) { return torch::gelu(value, "tanh"); }
};

template <class Kit>
struct MLP : torch::nn::Module {
  using Linear = typename Kit::template Module<torch::nn::LinearImpl>;
  MLP()
      : c_fc(register_module("c_fc", std::make_shared<Linear>(torch::nn::LinearOptions(768, 3072)))),
        c_proj(register_module("c_proj", std::make_shared<Linear>(torch::nn::LinearOptions(3072, 768)))),
        act(register_module("act", std::make_shared<typename Kit::template Module<GeluImpl>>())) {}
  Tensor forward(const Tensor& hidden) {
    Tensor value = c_proj->forward(act->forward(c_fc->forward(hidden)));
    if constexpr (Kit::kPoints) return output(std::move(value));
    return value;
  }
  std::shared_ptr<Linear> c_fc, c_proj;
  std::shared_ptr<typename Kit::template Module<GeluImpl>> act;
  vene::HookPoint output;
};

template <class Kit>
struct Block : torch::nn::Module {
  using Norm = typename Kit::template Module<torch::nn::LayerNormImpl>;
  Block()
      : ln_1(register_module("ln_1", std::make_shared<Norm>(torch::nn::LayerNormOptions({768})))),
        attn(register_module("attn", std::make_shared<typename Kit::template Module<Attention<Kit>>>())),
        ln_2(register_module("ln_2", std::make_shared<Norm>(torch::nn::LayerNormOptions({768})))),
        mlp(register_module("mlp", std::make_shared<typename Kit::template Module<MLP<Kit>>>())) {}
  Tensor forward(const Tensor& hidden) {
    const Tensor middle = hidden + attn->forward(ln_1->forward(hidden));
    return middle + mlp->forward(ln_2->forward(middle));
  }
  std::shared_ptr<Norm> ln_1;
  std::shared_ptr<typename Kit::template Module<Attention<Kit>>> attn;
  std::shared_ptr<Norm> ln_2;
  std::shared_ptr<typename Kit::template Module<MLP<Kit>>> mlp;
};

template <class Kit>
struct Body : torch::nn::Module {
  using AnyBlock = typename Kit::template Module<Block<Kit>>;
  Body() {
    for (int layer = 0; layer < 12; ++layer)
      h.push_back(register_module("h_" + std::to_string(layer), std::make_shared<AnyBlock>()));
  }
  Tensor forward(Tensor hidden) {
    for (const auto& block : h) hidden = block->forward(hidden);
    return hidden;
  }
  std::vector<std::shared_ptr<AnyBlock>> h;
};

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2), values.end());
  return values[values.size() / 2];
}

double thread_milliseconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return 1e3 * static_cast<double>(now.tv_sec) + 1e-6 * static_cast<double>(now.tv_nsec);
}

template <class Call>
double milliseconds(const Call& call) {
  const double start = thread_milliseconds();
  call();
  return thread_milliseconds() - start;
}

}  // namespace

int main(int argc, char** argv) {
  const int rounds = argc > 1 ? std::stoi(argv[1]) : 201;
  torch::set_num_threads(1);
  torch::manual_seed(0);
  const torch::NoGradGuard no_grad;
  Body<Stock> stock;
  Body<WithHooks> hooked;
  for (auto& item : hooked.named_parameters()) item.value().set_data(stock.named_parameters()[item.key()]);
  // A scope that watches something that is not in the model.
  vene::HookPoint elsewhere;
  vene::HookTable table;
  table.on(elsewhere->site_id(), vene::Phase::kOutput, [](const vene::HookContext&) {});
  std::printf("%7s %12s %12s %9s %12s %9s   (medians of %d rounds, ms)\n", "tokens", "unhooked", "idle", "ratio",
              "in a scope", "ratio", rounds);
  for (const std::int64_t tokens : {7, 64}) {
    const Tensor input = torch::randn({1, tokens, 768});
    if (!torch::equal(stock.forward(input), hooked.forward(input))) {
      std::fprintf(stderr, "idle_sites: the two models differ\n");
      return 1;
    }
    std::vector<double> plain, idle, scoped;
    for (int round = 0; round < rounds; ++round) {
      // The order turns too: what comes first finds the caches as the other left them.
      for (int turn = 0; turn < 3; ++turn) {
        switch ((turn + round) % 3) {
          case 0:
            plain.push_back(milliseconds([&] { stock.forward(input); }));
            break;
          case 1:
            idle.push_back(milliseconds([&] { hooked.forward(input); }));
            break;
          default: {
            const vene::HookScope scope(table);
            scoped.push_back(milliseconds([&] { hooked.forward(input); }));
          }
        }
      }
    }
    std::printf("%7lld %12.3f %12.3f %9.4f %12.3f %9.4f\n", static_cast<long long>(tokens), median(plain), median(idle),
                median(idle) / median(plain), median(scoped), median(scoped) / median(plain));
  }
  return 0;
}
