// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>

#include "src/base/at_place.h"
#include "src/cli/command.h"
#include "src/cli/say.h"
#include "src/cli/steer.h"
#include "src/cli/stop.h"
#include "src/cli/terminal.h"
#include "src/core/experiment_json.h"
#include "src/core/parse_experiment.h"
#include "vene/base/error.h"
#include "vene/base/names.h"
#include "vene/core/experiment.h"
#include "vene/core/steering.h"
#include "vene/io/files.h"

namespace vene::cli {
namespace {

namespace fs = std::filesystem;

struct Options {
  ModelChoice model;
  std::vector<std::string> prompts, ids, steer, steer_tokens, stop_texts;
  std::string file, config, component = "block_output", when;
  GenerateOptions generate;
  bool compare = false, json = false, no_prompt = false, use_generation_config = false;
};

When parse_when(const std::string& text) {
  if (text == "prompt") return When::prompt();
  if (text == "decode") return When::decode();
  if (text == "both") return When::both();
  throw ConfigError("--when: unknown time '" + text + "'" + name_hint(text, {"prompt", "decode", "both"}));
}

struct FromFile {
  Experiment experiment;
  bool limited = false;  // it says how many tokens to make
};

// An experiment, a config, or the folder of a saved one; `base` takes the place of its own, where it is not null.
FromFile read_config(const std::string& path, const detail::Json& base, const models::LanguageModel& lm) {
  detail::Json json;
  std::string folder = fs::path(path).parent_path().string();
  std::error_code ignored;
  if (fs::is_directory(path, ignored)) {
    json["config"] = fs::absolute(path).string();
  } else {
    json = detail::read_json<ConfigError>(io::read_file(path), path);
    if (!json.is_object() || !json.contains("config")) json = {{"config", std::move(json)}};
  }
  if (!base.is_null()) json["base"] = base;
  if (!json.contains("base")) throw ConfigError(path + ": it has no \"base\"; give a prompt (-p, -f or --ids)");
  const bool limited = json.contains("generate") && json["generate"].is_object() &&
                       (json["generate"].contains("max_new_tokens") || json["generate"].contains("max_length"));
  return detail::at_place(path, [&] {
    return FromFile{detail::parse_experiment(json, lm, folder.empty() ? "." : folder), limited};
  });
}

// A prompt of a file: lines end as they do here, and the newline at the end is not part of it.
std::string prompt_of(const std::string& path) {
  const std::string read = read_input(path);
  std::string text;
  for (std::size_t i = 0; i < read.size(); ++i) {
    if (read[i] != '\r' || i + 1 == read.size() || read[i + 1] != '\n') text += read[i];
  }
  if (text.ends_with('\n')) text.pop_back();
  return text;
}

std::size_t characters(const std::string& text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U; }));
}

// Lines of at most `width` characters, broken at spaces where there are any.
std::vector<std::string> wrapped(const std::string& text, std::size_t width) {
  std::vector<std::string> lines(1);
  std::size_t room = width, space = std::string::npos;  // where the line has its last space
  for (std::size_t i = 0; i < text.size();) {
    std::size_t end = i + 1;
    while (end < text.size() && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U) ++end;
    if (text[i] == '\n') {
      lines.emplace_back();
      room = width;
      space = std::string::npos;
    } else {
      if (room == 0) {
        std::string rest;
        if (space != std::string::npos) {
          rest = lines.back().substr(space + 1);
          lines.back().resize(space);
        }
        lines.push_back(rest);
        room = width - characters(rest);
        space = std::string::npos;
      }
      if (text[i] == ' ') space = lines.back().size();
      lines.back() += text[i] == '\t' || text[i] == '\r' ? " " : text.substr(i, end - i);
      --room;
    }
    i = end;
  }
  return lines;
}

// Options that would change nothing are mistakes.
void refuse_idle_options(const Options& options, const CLI::App& command) {
  const auto given = [&](const char* name) { return command.get_option(name)->count() > 0; };
  if (given("--ids") && (given("--prompt") || given("--file")))
    throw UsageError("--ids is another way to give prompts; leave --prompt and --file out");
  const bool steers = !options.steer.empty() || !options.steer_tokens.empty();
  if (given("--component") && !steers)
    throw ConfigError("--component: there is nothing to add to it; give --steer or --steer-token");
  if (given("--when") && !steers && options.config.empty())
    throw ConfigError("--when: there is no intervention; give --config, --steer or --steer-token");
}

// What generation_config.json says of drawing.
void read_generation_config(const std::string& folder, GenerateOptions& generation) {
  const std::string path = (fs::path(folder) / "generation_config.json").string();
  const detail::Json json = detail::read_json<IoError>(io::read_file(path), path);
  if (!json.is_object()) throw IoError(path + ": expected a JSON object");
  const auto number = [&](const char* key) -> std::optional<double> {
    const auto found = json.find(key);
    if (found == json.end() || found->is_null()) return std::nullopt;
    if (!found->is_number())
      throw IoError(path + ": '" + key + "': expected a number, got " + detail::json_text(*found));
    return found->get<double>();
  };
  const auto draws = json.find("do_sample");
  const bool sample = draws != json.end() && draws->is_boolean() && draws->get<bool>();
  generation.temperature = sample ? number("temperature").value_or(1) : 0;
  if (const auto k = number("top_k"); k && sample) generation.top_k = static_cast<std::int64_t>(*k);
  if (const auto p = number("top_p"); p && sample) generation.top_p = *p;
  if (const auto penalty = number("repetition_penalty")) generation.repetition_penalty = *penalty;
}

// What the command line says wins over the file.
void apply_options(const Options& options, const CLI::App& command, GenerateOptions& generation) {
  const auto given = [&](const char* name) { return command.get_option(name)->count() > 0; };
  const GenerateOptions& flags = options.generate;
  if (given("--predict")) generation.max_new_tokens = flags.max_new_tokens;
  if (given("--temp")) generation.temperature = flags.temperature;
  if (given("--top-k")) generation.top_k = flags.top_k;
  if (given("--top-p")) generation.top_p = flags.top_p;
  if (given("--repeat-penalty")) generation.repetition_penalty = flags.repetition_penalty;
  if (given("--seed")) generation.seed = flags.seed;
  if (given("--ignore-eos")) generation.ignore_eos = flags.ignore_eos;
  if (given("--stop")) generation.stop_texts = options.stop_texts;
  for (const char* name : {"--top-k", "--top-p", "--seed"}) {
    if (given(name) && generation.temperature == 0 && !given("--temp")) {
      throw ConfigError(std::string(name) +
                        ": nothing is drawn at temperature 0, the default; give --temp, such as --temp 0.8");
    }
  }
}

// The prompts of the command line as the base of an experiment; null: there are none.
detail::Json base_of(const Options& options) {
  std::vector<std::string> prompts = options.prompts;
  if (!options.file.empty()) prompts.push_back(prompt_of(options.file));
  if (!prompts.empty()) return {{"text", prompts}};
  if (options.ids.empty()) return nullptr;
  detail::Json rows = detail::Json::array();
  for (const std::string& ids : options.ids) rows.push_back(token_ids("--ids", ids));
  return {{"input_ids", rows}};
}

FromFile read_experiment(const Options& options, const models::LanguageModel& lm) {
  const detail::Json base = base_of(options);
  if (!lm.tokenizer && base.contains("text")) {
    throw ModelError(options.model.folder +
                     ": this model has no tokenizer, so prompts cannot be read; give token ids (--ids)");
  }
  if (!options.config.empty()) return read_config(options.config, base, lm);
  if (base.is_null()) throw ConfigError("give a prompt: -p TEXT, -f FILE or --ids IDS");
  FromFile read;
  read.experiment.request.base = detail::read_batch(detail::JsonReader(base, "--ids"), lm).to(lm.model->device());
  read.experiment.request.tokenizer = lm.tokenizer.get();
  return read;
}

// Tokens as text, or as ids where there is no tokenizer.
std::string shown(const models::LanguageModel& lm, const std::vector<std::int64_t>& ids) {
  if (lm.tokenizer) return lm.tokenizer->decode(ids);
  std::string text;
  for (const std::int64_t id : ids) text += std::to_string(id) + " ";
  return text;
}

std::string prompt_text(const models::LanguageModel& lm, const GeneratedRow& row) {
  return shown(lm, {row.ids.begin(), row.ids.begin() + row.prompt_length});
}

std::string new_text(const models::LanguageModel& lm, const GeneratedRow& row) {
  return lm.tokenizer ? row.text : shown(lm, {row.ids.begin() + row.prompt_length, row.ids.end()});
}

// The texts as `vene run` writes them, or without a tokenizer the ids, prompt included.
std::string generated_json(const GenerateResult& result, const models::LanguageModel& lm) {
  if (lm.tokenizer) return result_texts(result, lm);
  detail::OrderedJson json;
  const auto add = [&](const char* name, const Generated& generated) {
    for (const GeneratedRow& row : generated.rows) json[name].push_back(row.ids);
  };
  if (result.original) add("original_ids", *result.original);
  add("intervened_ids", result.intervened);
  return detail::written_json(json);
}

void print_side_by_side(const GenerateResult& result, const models::LanguageModel& lm) {
  const std::size_t width = (terminal_width(100) - 3) / 2;
  for (std::size_t row = 0; row < result.intervened.rows.size(); ++row) {
    const GeneratedRow& changed = result.intervened.rows[row];
    if (row > 0) std::printf("\n");
    std::printf("%s\n\n", prompt_text(lm, changed).c_str());
    std::vector<std::string> left = wrapped(new_text(lm, result.original->rows[row]), width),
                             right = wrapped(new_text(lm, changed), width);
    left.insert(left.begin(), {"base", std::string(width, '-')});
    right.insert(right.begin(), {"intervened", std::string(width, '-')});
    for (std::size_t i = 0; i < std::max(left.size(), right.size()); ++i) {
      const std::string first = i < left.size() ? left[i] : "", second = i < right.size() ? right[i] : "";
      std::printf("%s%s | %s\n", first.c_str(), std::string(width - std::min(width, characters(first)), ' ').c_str(),
                  second.c_str());
    }
  }
}

std::string first_prompt(const Experiment& experiment, const models::LanguageModel& lm) {
  const torch::Tensor ids = experiment.request.base.input_ids.to(torch::kCPU).contiguous();
  return shown(lm, {ids.data_ptr<std::int64_t>(), ids.data_ptr<std::int64_t>() + ids.numel()});
}

void generate_text(const Options& options, const CLI::App& command) {
  refuse_idle_options(options, command);
  const Interruptible stops;
  const models::LanguageModel lm = options.model.load();
  if (!lm.tokenizer && !options.steer_tokens.empty()) {
    throw ModelError(options.model.folder +
                     ": this model has no tokenizer, so the text of --steer-token cannot be read; give --steer FILE");
  }
  auto [experiment, limited] = read_experiment(options, lm);
  IntervenableConfig steering;
  for (const std::string& spec : options.steer) add_file_steering(steering, lm, spec, options.component);
  for (const std::string& spec : options.steer_tokens) add_token_steering(steering, lm, spec, options.component);
  append_interventions(experiment, steering.representations, lm);
  if (!experiment.generate) experiment.generate.emplace();
  if (!experiment.request.generation) experiment.request.generation.emplace();
  GenerateOptions& generation = *experiment.generate;
  if (options.use_generation_config) read_generation_config(options.model.folder, generation);
  apply_options(options, command, generation);
  if (command.get_option("--when")->count() > 0) set_when(experiment, parse_when(options.when), lm);
  if (const std::int64_t context = lm.model->context_length();
      command.get_option("--predict")->count() == 0 && !limited && context > 0 &&
      (lm.model->bound_to_context() || experiment.request.base.positions() <= context)) {
    generation.max_new_tokens =
        std::clamp<std::int64_t>(context - experiment.request.base.positions() + 1, 1, generation.max_new_tokens);
  }
  const bool steered = !experiment.config.representations.empty();
  if (options.compare && !steered)
    throw ConfigError("--compare: there is nothing to compare with; give --config, --steer or --steer-token");
  experiment.request.original = options.compare;
  const bool stream = experiment.request.base.rows() == 1 && !options.compare && !options.json;
  generation.on_token = [](const GeneratedToken&) { return !Interruptible::asked(); };
  if (stream) {
    // With the first token, so that nothing is printed where the generation is refused.
    const std::string prompt = options.no_prompt ? "" : first_prompt(experiment, lm);
    generation.on_token = [prompt, texts = lm.tokenizer != nullptr](const GeneratedToken& token) {
      if (token.step == 0) std::fputs(prompt.c_str(), stdout);
      std::fputs(texts ? token.text.c_str() : (std::to_string(token.id) + " ").c_str(), stdout);
      return std::fflush(stdout) == 0 && !Interruptible::asked();
    };
  }
  const Timed generating("text: generated");
  GenerateResult result;
  if (steered) {
    result = generate_experiment(experiment, lm);
  } else {
    result.intervened = generate(*lm.model, experiment.request.base, generation, lm.tokenizer.get());
  }
  generating.done();
  if (stream && Interruptible::asked()) std::printf("\n");
  Interruptible::check(stream ? "the text ends here" : "the texts are not printed");
  if (options.json) {
    std::printf("%s\n", generated_json(result, lm).c_str());
  } else if (options.compare) {
    print_side_by_side(result, lm);
  } else if (stream) {
    std::printf("\n");
  } else {
    for (const GeneratedRow& row : result.intervened.rows) {
      const std::string prompt = options.no_prompt ? "" : prompt_text(lm, row);
      std::printf("%s%s\n", prompt.c_str(), new_text(lm, row).c_str());
    }
  }
}

}  // namespace

void add_generate(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("generate", "Continue a prompt, with interventions at work if any are given");
  options->model.add_to(*command);
  command->add_option("-p,--prompt", options->prompts, "The prompt; several make a batch")
      ->type_name("TEXT")
      ->allow_extra_args(false);
  command
      ->add_option("-f,--file", options->file,
                   "Read a prompt from a file (- for standard input); a newline at its end is dropped, CRLF is one")
      ->type_name("FILE");
  command
      ->add_option("--ids", options->ids,
                   "A prompt as token ids, for which no tokenizer is needed: 3,14,15; several make a batch")
      ->type_name("IDS")
      ->allow_extra_args(false);
  command
      ->add_option("-n,--predict", options->generate.max_new_tokens,
                   "New tokens at most (default: 64, or what the context has room for)")
      ->check(CLI::Range(1, 1 << 20))
      ->type_name("N");
  command->add_option("-s,--seed", options->generate.seed, "With --temp: seed of the draws; row r draws from seed + r")
      ->check(not_a_count)
      ->type_name("N");
  command->add_option("--temp", options->generate.temperature, "Temperature; 0 takes the most probable token each time")
      ->capture_default_str()
      ->type_name("T");
  command
      ->add_option("--top-k", options->generate.top_k, "With --temp: draw from the k most probable tokens; 0: from all")
      ->capture_default_str()
      ->type_name("K");
  command
      ->add_option("--top-p", options->generate.top_p,
                   "With --temp: draw from the fewest tokens that reach this probability")
      ->capture_default_str()
      ->type_name("P");
  command
      ->add_option("--repeat-penalty", options->generate.repetition_penalty,
                   "Makes tokens that were there less likely; 1: off")
      ->capture_default_str()
      ->type_name("X");
  command->add_flag("--use-generation-config", options->use_generation_config,
                    "Draw as the folder's generation_config.json says, where no option here says otherwise");
  command->add_flag("--ignore-eos", options->generate.ignore_eos,
                    "Go on after the tokens that the checkpoint ends a text with");
  command
      ->add_option("-r,--stop", options->stop_texts,
                   "Stop at this text, or at the special token of this name; may be given again")
      ->type_name("TEXT")
      ->allow_extra_args(false);
  command
      ->add_option("--config", options->config,
                   "Interventions: an experiment file, a config, or a saved folder; --steer adds to them")
      ->type_name("JSON");
  command
      ->add_option("--steer", options->steer,
                   "Add a control vector (.gguf, or .safetensors) to the layers it has, or to some: v.gguf:0.8@2-5; "
                   "may be given again")
      ->type_name("FILE[:scale][@layers]")
      ->allow_extra_args(false);
  command
      ->add_option("--steer-token", options->steer_tokens,
                   "Add the embedding of a piece of text to every layer (once at a component outside the layers), or "
                   "to some: ' happy:0.3@0-3'; may be given again")
      ->type_name("TEXT[:scale][@layers]")
      ->allow_extra_args(false);
  command->add_option("--component", options->component, "What --steer and --steer-token add to")
      ->capture_default_str()
      ->type_name("NAME");
  command
      ->add_option("--when", options->when,
                   "When interventions act, whatever --config says: prompt, decode or both (default: both without "
                   "locations, else prompt)")
      ->type_name("TIME");
  command->add_flag("--compare", options->compare,
                    "Also generate without the interventions, and print both side by side");
  command->add_flag("--no-display-prompt", options->no_prompt, "Print only what is new");
  command->add_flag("--json", options->json, "Print prompts and texts as JSON");
  command->footer(
      "Example: vene generate -m assets/landmarks-gpt2 -p 'The Space Needle is in' --steer-token ' Rome:4' --component "
      "mlp_output -n 12 --compare");
  command->callback([options, command] { generate_text(*options, *command); });
}

}  // namespace vene::cli
