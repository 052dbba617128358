// SPDX-License-Identifier: Apache-2.0
#include "src/core/generate_json.h"

#include "src/config/when.h"
#include "src/core/generate_options.h"
#include "src/core/sampling.h"
#include "vene/base/error.h"
#include "vene/base/names.h"
#include "vene/core/experiment.h"

namespace vene {

GenerateOptions detail::read_generate(JsonReader json, std::int64_t prompt, Generation& into) {
  json.expect_object("{\"max_new_tokens\": 20}");
  GenerateOptions options;
  visit(options, ReadOptions(json));
  // transformers' spellings: the length with the prompt, and whether tokens are drawn, from the 50 most probable ones
  // where nothing else is said.
  if (const auto length = json.find("max_length")) {
    if (json.has("max_new_tokens"))
      json.fail("'max_new_tokens' and 'max_length' are two ways to say one thing; give one");
    options.max_new_tokens =
        length->integer("an integer of more than the prompt's positions, " + std::to_string(prompt), prompt + 1) -
        prompt;
  }
  if (const auto draws = json.find("do_sample")) {
    const bool sample = draws->boolean();
    if (!sample) options.temperature = 0;
    if (sample && !json.find("temperature")) options.temperature = 1;
    if (sample && !json.find("top_k")) options.top_k = 50;
  }
  if (const auto when = json.find("when")) into.when = when_from_json(*when);
  if (const auto steps = json.find("source_steps")) {
    if (steps->json() == "same") {
      into.source_steps = SourceSteps::kSame;
    } else if (steps->json() != "prompt") {
      steps->expected("\"prompt\" or \"same\"");
    }
  }
  // pyvene's spelling: true is the prompt (every pass for interventions without locations), false the decoding steps.
  if (const auto prompt = json.find("intervene_on_prompt")) {
    const bool on_prompt = prompt->boolean();
    if (into.when) json.fail("'when' and 'intervene_on_prompt' are two ways to say one thing; give one");
    if (!on_prompt) into.when = When::decode();
  }
  json.refuse_others();
  check_options(options);
  return options;
}

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
  detail::OrderedJson json;
  for (const GeneratedRow& row : result.intervened.rows) {
    json["prompts"].push_back(model.tokenizer->decode({row.ids.begin(), row.ids.begin() + row.prompt_length}));
  }
  auto texts = [&](const char* name, const Generated& generated) {
    for (const GeneratedRow& row : generated.rows) json[name].push_back(row.text);
  };
  if (result.original) texts("original", *result.original);
  texts("intervened", result.intervened);
  return detail::written_json(json);
}

}  // namespace vene
