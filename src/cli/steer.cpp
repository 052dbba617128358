// SPDX-License-Identifier: Apache-2.0
#include "src/cli/steer.h"

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <variant>

#include "src/cli/command.h"
#include "src/cli/output_folder.h"
#include "src/cli/quantities.h"
#include "src/cli/say.h"
#include "src/cli/stop.h"
#include "vene/base/error.h"
#include "vene/base/names.h"
#include "vene/core/steering.h"
#include "vene/io/files.h"
#include "vene/io/gguf.h"
#include "vene/io/safetensors.h"

namespace vene::cli {
namespace {

namespace fs = std::filesystem;

struct Spec {
  std::string what;
  SteerOptions options;
  bool scaled = false;  // a scale was given
};

bool number(const std::string& text, double& value) {
  char* end = nullptr;
  value = std::strtod(text.c_str(), &end);
  return !text.empty() && *end == '\0' && std::isfinite(value) && text[0] != ' ';
}

// From the right, so that what is in front may hold colons and at signs.
Spec parse(std::string text, const std::string& option) {
  Spec spec;
  if (const std::size_t at = text.rfind('@');
      at != std::string::npos && read_layers(text.substr(at + 1), spec.options.layers)) {
    text.resize(at);
  } else {
    spec.options.layers.clear();
  }
  if (const std::size_t colon = text.rfind(':');
      colon != std::string::npos && number(text.substr(colon + 1), spec.options.scale)) {
    text.resize(colon);
    spec.scaled = true;
  } else {
    spec.options.scale = 1;
  }
  if (text.empty()) throw ConfigError(option + ": nothing is in front of the scale or the layers");
  spec.what = std::move(text);
  return spec;
}

// A lone vector, or one a layer.
std::variant<torch::Tensor, io::ControlVector> read_vector(const std::string& path) {
  if (path.ends_with(".gguf")) return io::read_control_vector(path);
  if (!path.ends_with(".safetensors"))
    throw ConfigError("--steer: expected a .gguf or .safetensors file (FILE[:scale][@layers]), got '" + path + "'");
  const io::NamedTensors tensors = io::read_tensors(path);
  if (tensors.size() == 1 && !tensors[0].first.starts_with("direction.")) return tensors[0].second;
  io::ControlVector vector;
  for (const auto& [name, tensor] : tensors) {
    const std::string digits = name.starts_with("direction.") ? name.substr(10) : "";
    if (digits.empty() || digits.size() > 5 || digits.find_first_not_of("0123456789") != std::string::npos) {
      throw ConfigError("--steer: " + path + " holds '" + name +
                        "'; expected one vector, or tensors named direction.<layer>");
    }
    vector.directions[std::stoll(digits)] = tensor;
  }
  return vector;
}

}  // namespace

void add_file_steering(IntervenableConfig& config, const models::LanguageModel& lm, const std::string& text,
                       const std::string& component) {
  Spec spec = parse(text, "--steer");
  spec.options.component = component;
  std::visit([&](const auto& vector) { add_steering(config, *lm.model, vector, spec.options); },
             read_vector(spec.what));
}

void add_token_steering(IntervenableConfig& config, const models::LanguageModel& lm, const std::string& text,
                        const std::string& component) {
  Spec spec = parse(text, "--steer-token");
  if (!spec.scaled && spec.what.find_first_of(":@") != std::string::npos) {
    // A mistyped scale would else be part of the text.
    throw ConfigError("--steer-token: what is behind the ':' or '@' of '" + text +
                      "' is no scale or layers; expected TEXT[:scale][@layers], where a text with a colon or an at "
                      "sign needs a scale behind it");
  }
  spec.options.component = component;
  const torch::Tensor table = lm.model->token_embedding();
  const std::vector<std::int64_t> ids = lm.tokenizer->encode(spec.what, /*special=*/false);
  if (!table.defined() || ids.empty())
    throw ConfigError("--steer-token: '" + spec.what + "' has no embedding in this model");
  const torch::Tensor mean =
      table.detach().index_select(0, torch::tensor(ids, torch::kInt64).to(table.device())).to(torch::kFloat32).mean(0);
  add_steering(config, *lm.model, mean, spec.options);
}

namespace {

std::vector<std::string> lines_of(const std::string& path) {
  std::vector<std::string> lines;
  std::string text = io::read_file(path);
  std::size_t begin = 0;
  while (begin < text.size()) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    std::string line = text.substr(begin, end - begin);
    if (!line.empty() && line.back() == '\r') line.pop_back();
    if (!line.empty()) lines.push_back(std::move(line));
    begin = end + 1;
  }
  if (lines.empty()) throw ConfigError(path + ": expected one text a line, got none");
  return lines;
}

struct Options {
  ModelChoice model;
  std::string positive, negative, out, method = "mean";
  SteerVectorOptions steer;
};

}  // namespace

void add_steer_vector(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand(
      "steer-vector", "Make a GGUF control vector from contrasting texts, for vene generate --steer and llama.cpp");
  options->model.add_to(*command);
  command->add_option("--positive", options->positive, "Texts to steer towards, one a line")
      ->required()
      ->type_name("FILE");
  command->add_option("--negative", options->negative, "Texts to steer away from, one a line")
      ->required()
      ->type_name("FILE");
  command->add_option("-o,--output", options->out, "The control vector")->required()->type_name("GGUF");
  command
      ->add_option("--method", options->method,
                   "mean: difference of the means; pca: main axis of the pairs' differences")
      ->capture_default_str()
      ->check(CLI::IsMember({"mean", "pca"}));
  command->add_option("--batch", options->steer.batch, "Texts a forward")
      ->capture_default_str()
      ->check(CLI::Range(1, 100000))
      ->type_name("N");
  command->footer(
      "Example: vene steer-vector -m assets/landmarks-gpt2 --positive examples/steering/rome.txt --negative "
      "examples/steering/seattle.txt -o rome.gguf");
  command->callback([options] {
    io::check_file_place(options->out);
    const std::vector<std::string> positive = lines_of(options->positive), negative = lines_of(options->negative);
    options->steer.method = options->method == "pca" ? SteerMethod::kPca : SteerMethod::kMean;
    const Interruptible stops;
    const models::LanguageModel lm = options->model.load();
    const io::ControlVector vector = Interruptible::run([&] {
      Progress progress("texts");
      options->steer.progress = [&](std::size_t done, std::size_t all) { return progress(done, all); };
      return steer_vector(lm, positive, negative, options->steer);
    });
    // Where the name is that of a link, the file that it leads to is replaced.
    const fs::path place = fs::exists(options->out) ? fs::canonical(options->out) : fs::path(options->out);
    OutputFolder out(place.has_parent_path() ? place.parent_path().string() : ".");
    out.write(place.filename().string(), [&](const std::string& path) { io::write_control_vector(path, vector); });
    out.commit(loudness().quiet
                   ? ""
                   : options->out + ": layers 1 to " + std::to_string(vector.directions.rbegin()->first) + "\n");
  });
}

}  // namespace vene::cli
