// SPDX-License-Identifier: Apache-2.0
#include "vene/core/generate.h"

#include <algorithm>

#include "src/core/run_scope.h"
#include "src/core/sampling.h"
#include "src/core/text_stream.h"
#include "vene/base/error.h"
#include "vene/base/names.h"
#include "vene/core/intervenable_model.h"

namespace vene {
namespace detail {

models::Batch left_padded(const models::Batch& prompts, const std::string& where) {
  if (!prompts.input_ids.defined()) throw PlanError(where + ": a generation needs token ids (input_ids)");
  if (prompts.input_ids.dim() != 2 || prompts.input_ids.numel() == 0) {
    throw PlanError(where + ": expected token ids [batch, pos], got shape " + shape_text(prompts.input_ids.sizes()));
  }
  if (!prompts.attention_mask.defined()) return prompts;
  const RowTexts texts = RowTexts::of(prompts.input_ids, prompts.attention_mask, {}, nullptr);
  check_mask(prompts, texts, where);
  std::int64_t longest = 0;
  bool ragged = false;
  for (std::int64_t row = 0; row < texts.rows; ++row) {
    const std::int64_t length = texts.end[row] - texts.begin[row];
    if (length == 0) throw PlanError(where + ", row " + std::to_string(row) + ": the prompt is empty");
    longest = std::max(longest, length);
    ragged = ragged || length != texts.end[0] - texts.begin[0];
  }
  models::Batch moved;
  moved.extra = prompts.extra;
  moved.input_ids = torch::zeros({texts.rows, longest}, prompts.input_ids.options());
  moved.attention_mask = torch::zeros({texts.rows, longest}, prompts.attention_mask.options());
  for (std::int64_t row = 0; row < texts.rows; ++row) {
    const std::int64_t length = texts.end[row] - texts.begin[row];
    moved.input_ids[row]
        .narrow(0, longest - length, length)
        .copy_(prompts.input_ids[row].narrow(0, texts.begin[row], length));
    moved.attention_mask[row].narrow(0, longest - length, length).fill_(1);
  }
  if (!ragged) moved.attention_mask = torch::Tensor();
  return moved;
}

namespace {

// Whose tokens are being made.
enum class Part : std::uint8_t { kOriginal, kIntervened, kSource };

std::vector<std::vector<std::int64_t>> row_ids(const models::Batch& prompts) {
  const RowTexts texts = RowTexts::of(prompts.input_ids, prompts.attention_mask, {}, nullptr);
  const torch::Tensor ids = prompts.input_ids.to(torch::kCPU, torch::kInt64).contiguous();
  std::vector<std::vector<std::int64_t>> rows;
  for (std::int64_t row = 0; row < texts.rows; ++row) {
    const std::int64_t* all = ids.data_ptr<std::int64_t>() + row * texts.positions;
    rows.emplace_back(all + texts.begin[row], all + texts.end[row]);
  }
  return rows;
}

// One forward a step: over the prompts, then over one new token a row, or without a cache over everything again.
class Decoder {
 public:
  Decoder(models::Model& model, models::Batch prompts, const GenerateOptions& options)
      : model_(model), batch_(std::move(prompts)), cached_(options.use_cache) {
    constexpr std::int64_t kAtOnce = 1024;
    if (model.reads_ahead())
      throw PlanError("this model (" + model.architecture() + ") reads its whole text at once, so it cannot generate");
    const std::int64_t longest = batch_.positions(), context = model.bound_to_context() ? model.context_length() : 0,
                       total = longest + options.max_new_tokens;
    check_stop_tokens(options, model.vocabulary_size());
    if (context > 0 && longest > context) {
      throw ConfigError("generate: a prompt of " + std::to_string(longest) + " tokens does not fit the model's " +
                        std::to_string(context) + " positions");
    }
    if (context > 0 && total - 1 > context) {
      throw ConfigError("generate.max_new_tokens: " + std::to_string(options.max_new_tokens) +
                        " new tokens after a prompt of " + std::to_string(longest) + " do not fit the model's " +
                        std::to_string(context) + " positions; at most " + std::to_string(context - longest + 1) +
                        " do");
    }
    // Once and for all: the forwards on a device do not look at its values.
    model.check(batch_);
    cache_.reserve = std::min(total, std::max(kAtOnce, 2 * longest));
    prompt_ = longest;
  }
  /// The length of the prompts where each forward reads them again; 0 with a cache.
  std::int64_t recomputed() const { return cached_ ? 0 : prompt_; }

  /// Logits [batch, vocabulary] of the next token.
  torch::Tensor forward() {
    const models::Output output = model_.forward(batch_, {.cache = cached_ ? &cache_ : nullptr, .last_logits = 1});
    if (!output.logits.defined() || output.logits.dim() != 3) {
      throw PlanError("this model (" + model_.architecture() +
                      ") gives no logits [batch, pos, vocabulary], so it cannot generate");
    }
    if (cached_ && cache_.length() == 0) {
      throw PlanError("this model (" + model_.architecture() + ") has no key-value cache; set use_cache to false");
    }
    return output.logits.select(1, -1);
  }
  /// `there`: the same tokens [batch] on the model's device, where they are there already.
  void append(const std::vector<std::int64_t>& tokens, const torch::Tensor& there) {
    const torch::Tensor next =
        (there.defined() ? there : torch::tensor(tokens, torch::kInt64).to(batch_.input_ids.device())).unsqueeze(1);
    if (cached_) {
      batch_.input_ids = next;
      batch_.attention_mask = torch::Tensor();
      return;
    }
    batch_.input_ids = torch::cat({batch_.input_ids, next}, 1);
    if (batch_.attention_mask.defined())
      batch_.attention_mask =
          torch::cat({batch_.attention_mask, torch::ones_like(next, batch_.attention_mask.options())}, 1);
  }

 private:
  models::Model& model_;
  models::Batch batch_;
  bool cached_;
  std::int64_t prompt_ = 0;
  models::KeyValueCache cache_;
};

Generated decode(models::Model& model, const models::Batch& prompts, const GenerateOptions& options,
                 const text::Tokenizer* tokenizer, Part part, RunScope* scope, bool& cancelled, std::int64_t& steps) {
  Generated generated;
  const auto ids = row_ids(prompts);
  std::vector<TextStream> streams;
  for (const auto& row : ids) {
    generated.rows.push_back({row, static_cast<std::int64_t>(row.size()), {}, StopReason::kLength});
    streams.emplace_back(tokenizer, &options.stop_texts, row);
  }
  std::vector<std::int64_t> stops = options.stop_tokens;
  std::vector<std::int64_t> text_stops;  // stop texts that are tokens of their own, which no text shows
  if (tokenizer != nullptr) {
    if (!options.ignore_eos) {
      stops.insert(stops.end(), tokenizer->ends().begin(), tokenizer->ends().end());
      if (tokenizer->eos()) stops.push_back(*tokenizer->eos());
    }
    for (const std::string& text : options.stop_texts) {
      if (const auto id = tokenizer->id_of(text); id && tokenizer->decode({*id}).empty()) text_stops.push_back(*id);
    }
  }
  Decoder decoder(model, prompts, options);
  Sampler sampler(options, ids);
  std::vector<bool> finished(ids.size(), false);
  std::vector<torch::Tensor> logits;
  for (std::int64_t step = 0; step < options.max_new_tokens && !cancelled; ++step) {
    if (scope != nullptr) scope->begin_step(step, decoder.recomputed());
    const torch::Tensor scores = decoder.forward();
    steps = step + 1;
    if (options.keep_logits) logits.push_back(scores.clone());
    std::vector<std::int64_t> next = sampler.next(scores);
    for (std::size_t row = 0; row < ids.size() && !cancelled; ++row) {
      GeneratedRow& one = generated.rows[row];
      if (finished[row]) {
        next[row] = one.ids.back();  // computed with the others, read by nobody
        continue;
      }
      one.ids.push_back(next[row]);
      if (part == Part::kSource) continue;
      const bool at_text =
          streams[row].add(next[row]) || std::find(text_stops.begin(), text_stops.end(), next[row]) != text_stops.end();
      const bool at_token = std::find(stops.begin(), stops.end(), next[row]) != stops.end();
      if (at_token) one.stopped = StopReason::kStopToken;
      if (at_text) one.stopped = StopReason::kStopText;
      finished[row] = at_text || at_token;
      const bool last = finished[row] || step + 1 == options.max_new_tokens;
      if (last) streams[row].finish();
      if (options.on_token && !options.on_token({static_cast<std::int64_t>(row), step, next[row], streams[row].take(),
                                                 last, part == Part::kOriginal}))
        cancelled = true;
    }
    if (std::all_of(finished.begin(), finished.end(), [](bool done) { return done; })) break;
    const bool as_chosen = std::none_of(finished.begin(), finished.end(), [](bool done) { return done; });
    decoder.append(next, as_chosen ? sampler.on_device() : torch::Tensor());
  }
  for (std::size_t row = 0; row < ids.size(); ++row) {
    if (cancelled && !finished[row]) {
      generated.rows[row].stopped = StopReason::kCancelled;
      streams[row].finish();
    }
    generated.rows[row].text = streams[row].text();
  }
  if (options.keep_logits) generated.logits = torch::stack(logits, 1);
  return generated;
}

// What was collected in each step of the generation: of unit "t" the calls of the prompt side by side, [batch, units,
// width].
std::map<std::int64_t, torch::Tensor> by_generation_step(const Placement& placement,
                                                         std::map<std::int64_t, torch::Tensor> values) {
  if (placement.unit != Unit::kStep) return values;
  std::map<std::int64_t, torch::Tensor> steps, prompt;
  for (const auto& [call, value] : values) {
    if (call < kDecoded) {
      prompt[call] = value;
    } else {
      steps[call - kDecoded] = value.unsqueeze(1);
    }
  }
  if (!prompt.empty()) steps[0] = assemble_steps(placement.steps, prompt);
  return steps;
}

void check_acted(const PlanData& plan, const RunState& state, std::int64_t steps) {
  for (const Placement& placement : plan.placements) {
    if (placement.skipped || state.fired[placement.representation] > 0) continue;
    std::string why = "the model did not reach " + site_text(placement.site);
    if (placement.when.first() >= steps) {
      why = "it acts in " + (placement.when == When::decode() ? "decoding steps" : placement.when.text()) +
            ", and the generation had " +
            (steps == 1 ? "the pass over the prompt alone" : "steps 0 to " + std::to_string(steps - 1));
    }
    throw PlanError(placement.where + " (" + placement.key + "): it never acted: " + why);
  }
}

}  // namespace
}  // namespace detail

torch::Tensor Generated::ids() const {
  std::size_t longest = 0;
  for (const GeneratedRow& row : rows) longest = std::max(longest, row.ids.size());
  torch::Tensor padded =
      torch::full({static_cast<std::int64_t>(rows.size()), static_cast<std::int64_t>(longest)}, -1, torch::kInt64);
  for (std::size_t row = 0; row < rows.size(); ++row) {
    padded[static_cast<std::int64_t>(row)]
        .narrow(0, 0, static_cast<std::int64_t>(rows[row].ids.size()))
        .copy_(torch::tensor(rows[row].ids, torch::kInt64));
  }
  return padded;
}

GenerateResult generate(const Plan& handle, const models::Batch& given,
                        const std::vector<std::optional<models::Batch>>& given_sources,
                        const GenerateOptions& options) {
  const detail::PlanData& plan = handle.data();
  if (!plan.generation) throw PlanError("this plan is for run; compile it with RunRequest::generation to generate");
  detail::check_options(options);
  if (!options.stop_texts.empty() && plan.tokenizer == nullptr)
    throw ConfigError("generate.stop_texts: needs a model with a tokenizer; give stop_tokens");
  const bool same = plan.generation->source_steps == SourceSteps::kSame;
  const models::Batch prompts = detail::left_padded(given, "base");
  std::vector<std::optional<models::Batch>> sources = given_sources;
  for (std::size_t g = 0; g < sources.size() && same; ++g) {
    if (sources[g]) sources[g] = detail::left_padded(*sources[g], "sources[" + std::to_string(g) + "]");
  }
  detail::check_inputs(plan, prompts, sources);
  const torch::NoGradGuard no_grad;
  GenerateResult result;
  detail::RunState state(plan.placements.size());
  std::int64_t steps = 0;
  if (plan.original) {
    const HooksDisabled undisturbed;
    result.original = detail::decode(*plan.model, prompts, options, plan.tokenizer, detail::Part::kOriginal, nullptr,
                                     result.cancelled, steps);
    if (result.cancelled) return result;
  }
  for (std::size_t p = 0; p < plan.passes.size(); ++p) {
    const detail::Pass& pass = plan.passes[p];
    detail::RunScope scope(plan, p, state);
    if (!pass.group) {
      result.intervened = detail::decode(*plan.model, prompts, options, plan.tokenizer, detail::Part::kIntervened,
                                         &scope, result.cancelled, steps);
    } else if (const models::Batch& input = *sources[sources.size() == 1 ? 0 : *pass.group]; same) {
      detail::decode(*plan.model, input, options, plan.tokenizer, detail::Part::kSource, &scope, result.cancelled,
                     steps);
    } else {
      run_until_stopped([&] { plan.model->forward(input); });
    }
  }
  if (!result.cancelled) detail::check_acted(plan, state, steps);
  for (const detail::Placement& placement : plan.placements) {
    if (placement.skipped) continue;
    result.fired.push_back({placement.key, site_text(placement.site), state.fired[placement.representation]});
    if (!placement.traits.collects) continue;
    const bool by_step = placement.unit == Unit::kStep;
    result.collected.push_back({placement.key, placement.representation,
                                detail::by_generation_step(placement, std::move(state.steps[placement.representation])),
                                by_step ? placement.steps.collect_valid : state.valid[placement.representation]});
  }
  return result;
}

Generated generate(models::Model& model, const models::Batch& prompts, const GenerateOptions& options,
                   const text::Tokenizer* tokenizer) {
  detail::check_options(options);
  if (!options.stop_texts.empty() && tokenizer == nullptr)
    throw ConfigError("generate.stop_texts: needs a model with a tokenizer; give stop_tokens");
  const torch::NoGradGuard no_grad;
  const HooksDisabled undisturbed;
  bool cancelled = false;
  std::int64_t steps = 0;
  return detail::decode(model, detail::left_padded(prompts, "prompts"), options, tokenizer, detail::Part::kOriginal,
                        nullptr, cancelled, steps);
}

GenerateResult IntervenableModelImpl::generate(RunRequest request, const GenerateOptions& options) {
  if (!request.generation) request.generation.emplace();
  return vene::generate(compile(request), request.base, request.sources, options);
}

}  // namespace vene
