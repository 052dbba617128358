// SPDX-License-Identifier: Apache-2.0
#include "src/core/generate_json.h"

#include "src/config/json_fields.h"
#include "src/config/when.h"
#include "src/core/sampling.h"
#include "vene/base/error.h"
#include "vene/base/names.h"
#include "vene/core/experiment.h"

namespace vene {
namespace detail {

using Json = nlohmann::json;

GenerateOptions read_generate(const Json& json, const std::string& path, Generation& into) {
  Fields fields(json, path, "{\"max_new_tokens\": 20}");
  GenerateOptions options;
  fields.read("max_new_tokens", options.max_new_tokens);
  fields.read("temperature", options.temperature);
  fields.read("top_k", options.top_k);
  fields.read("top_p", options.top_p);
  fields.read("repetition_penalty", options.repetition_penalty);
  std::int64_t seed = 0;
  fields.read("seed", seed);
  if (seed < 0) fields.fail("seed", "an integer of at least 0", seed);
  options.seed = static_cast<std::uint64_t>(seed);
  fields.read("ignore_eos", options.ignore_eos);
  fields.read("use_cache", options.use_cache);
  fields.read("stop_tokens", options.stop_tokens, "token ids",
              [](const Json& entry) { return entry.is_number_integer(); });
  fields.read("stop_texts", options.stop_texts, "texts", [](const Json& entry) { return entry.is_string(); });
  if (const Json* when = fields.find("when")) into.when = when_from_json(*when, path + ".when");
  if (const Json* steps = fields.find("source_steps")) {
    if (*steps == "same") {
      into.source_steps = SourceSteps::kSame;
    } else if (*steps != "prompt") {
      fields.fail("source_steps", "\"prompt\" or \"same\"", *steps);
    }
  }
  // pyvene's spelling: true is the prompt (every pass for interventions without locations), false the decoding steps.
  if (const Json* prompt = fields.find("intervene_on_prompt")) {
    if (!prompt->is_boolean()) fields.fail("intervene_on_prompt", "true or false", *prompt);
    if (into.when)
      throw ConfigError(path + ": 'when' and 'intervene_on_prompt' are two ways to say one thing; give one");
    if (!prompt->get<bool>()) into.when = When::decode();
  }
  fields.refuse_others();
  check_options(options);
  return options;
}

}  // namespace detail

io::NamedTensors result_tensors(const GenerateResult& result) {
  io::NamedTensors tensors;
  if (result.original) tensors.emplace_back("original.ids", result.original->ids());
  tensors.emplace_back("intervened.ids", result.intervened.ids());
  for (std::size_t i = 0; i < result.collected.size(); ++i) {
    for (const auto& [step, value] : result.collected[i].steps)
      tensors.emplace_back("collected." + std::to_string(i) + "." + std::to_string(step), value);
    if (result.collected[i].valid.defined())
      tensors.emplace_back("collected." + std::to_string(i) + ".0.valid", result.collected[i].valid);
  }
  return tensors;
}

std::string result_texts(const GenerateResult& result, const models::LanguageModel& model) {
  if (!model.tokenizer) return {};
  nlohmann::ordered_json json;
  for (const GeneratedRow& row : result.intervened.rows) {
    json["prompts"].push_back(model.tokenizer->decode({row.ids.begin(), row.ids.begin() + row.prompt_length}));
  }
  auto texts = [&](const char* name, const Generated& generated) {
    for (const GeneratedRow& row : generated.rows) json[name].push_back(row.text);
  };
  if (result.original) texts("original", *result.original);
  texts("intervened", result.intervened);
  return json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

}  // namespace vene
