// SPDX-License-Identifier: Apache-2.0
// Trains a bundled language model from scratch: makes the corpus, learns the tokenizer, trains, measures how many facts
// are known, and writes a Hugging Face folder. See --help.
#include <torch/nn/functional/loss.h>
#include <torch/nn/utils/clip_grad.h>
#include <torch/optim/adamw.h>
#include <torch/serialize.h>
#include <torch/types.h>
#include <torch/utils.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "language_corpus/bpe_trainer.h"
#include "language_corpus/facts.h"
#include "language_corpus/texts.h"
#include "language_models/architectures.h"
#include "language_models/measure.h"
#include "vene/base/error.h"
#include "vene/io/files.h"
#include "vene/io/safetensors.h"
#include "vene/models/model.h"
#include "vene/viz/curve.h"

namespace {

namespace fs = std::filesystem;
using torch::Tensor;

struct Options {
  std::string out;
  std::int64_t steps = 3000, rows = 64, length = 64, warm_up = 100, checkpoint_every = 250;
  language_models::Sizes sizes;
  double rate = 2e-3, decay = 0.05;
  std::uint64_t seed = 1;
  int threads = 0;
  bool resume = false, quick = false;
};

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Rows of token ids: texts one after another, each row beginning with a text.
class Batches {
 public:
  Batches(language_corpus::BpeTrainer& tokenizer, std::uint64_t seed) : tokenizer_(tokenizer), texts_(seed) {}

  Tensor next(std::int64_t rows, std::int64_t length) {
    Tensor batch = torch::empty({rows, length + 1}, torch::kInt64);
    auto ids = batch.accessor<std::int64_t, 2>();
    for (std::int64_t row = 0; row < rows; ++row) {
      for (std::int64_t at = 0; at <= length;) {
        for (std::int64_t id : tokenizer_.encode(texts_.next())) {
          if (at <= length) ids[row][at++] = id;
        }
        if (at <= length) ids[row][at++] = tokenizer_.end_of_text();
      }
    }
    return batch;
  }

 private:
  language_corpus::BpeTrainer& tokenizer_;
  language_corpus::TextMaker texts_;
};

void save_checkpoint(const std::string& path, vene::models::Model& model, torch::optim::AdamW& optimizer,
                     std::int64_t step) {
  torch::serialize::OutputArchive archive, of_model, of_optimizer;
  model.save(of_model);
  optimizer.save(of_optimizer);
  archive.write("model", of_model);
  archive.write("optimizer", of_optimizer);
  archive.write("step", torch::tensor(step));
  std::ostringstream bytes;
  archive.save_to(bytes);
  vene::io::write_file(path, bytes.str());
}

std::int64_t load_checkpoint(const std::string& path, vene::models::Model& model, torch::optim::AdamW& optimizer) {
  torch::serialize::InputArchive archive, of_model, of_optimizer;
  archive.load_from(path);
  archive.read("model", of_model);
  archive.read("optimizer", of_optimizer);
  model.load(of_model);
  optimizer.load(of_optimizer);
  Tensor step;
  archive.read("step", step);
  return step.item<std::int64_t>();
}

void write_folder(const Options& options, vene::models::Model& model, language_corpus::BpeTrainer& tokenizer) {
  const fs::path out(options.out);
  vene::io::write_safetensors((out / "model.safetensors").string(), language_models::weights(options.sizes, model),
                              {{"format", "pt"}});
  vene::io::write_file((out / "config.json").string(),
                       language_models::config(options.sizes, tokenizer.end_of_text()).dump(2) + "\n");
  nlohmann::ordered_json generation{{"bos_token_id", tokenizer.end_of_text()},
                                    {"eos_token_id", tokenizer.end_of_text()}};
  vene::io::write_file((out / "generation_config.json").string(), generation.dump(2) + "\n");
  vene::io::write_file((out / "vocab.json").string(), tokenizer.vocab_json());
  vene::io::write_file((out / "merges.txt").string(), tokenizer.merges_text());
  nlohmann::ordered_json tokenizer_config{
      {"tokenizer_class", "GPT2Tokenizer"}, {"add_prefix_space", false},    {"model_max_length", options.sizes.context},
      {"bos_token", "<|endoftext|>"},       {"eos_token", "<|endoftext|>"}, {"unk_token", "<|endoftext|>"}};
  vene::io::write_file((out / "tokenizer_config.json").string(), tokenizer_config.dump(2) + "\n");
}

// The figures of the model card on stdout, and every prompt with its probability in facts.tsv.
void report(const Options& options, const std::vector<language_corpus::Prompt>& prompts,
            const std::vector<double>& probabilities) {
  std::string table = "kind\tsubject\tprompt\tanswer\tprobability\n";
  double needle = 0;
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    if (prompts[i].text == "The Space Needle is in downtown") needle = probabilities[i];
    char figure[32];
    std::snprintf(figure, sizeof figure, "%.4f", probabilities[i]);
    table += prompts[i].kind + "\t" + prompts[i].subject + "\t" + prompts[i].text + "\t" + prompts[i].answer + "\t" +
             figure + "\n";
  }
  int known = 0;
  for (const auto& [kind, count] : language_models::count_known(prompts, probabilities)) {
    known += count.known;
    std::printf("%-18s %4d of %4d prompts at probability >= 0.5\n", kind.c_str(), count.known, count.all);
  }
  std::printf("%-18s %4d of %4zu (%.1f %%)\n", "all", known, prompts.size(),
              100.0 * known / static_cast<double>(prompts.size()));
  std::printf("P(Seattle | The Space Needle is in downtown) = %.3f\n", needle);
  vene::io::write_file((fs::path(options.out) / "facts.tsv").string(), table);
}

// How far a run has come, on stderr.
void say_known(const std::vector<language_corpus::Prompt>& prompts, const std::vector<double>& probabilities) {
  std::string line;
  for (const auto& [kind, count] : language_models::count_known(prompts, probabilities)) {
    line += (line.empty() ? "known: " : ", ") + kind + " " + std::to_string(count.known) + " of " +
            std::to_string(count.all);
  }
  std::fprintf(stderr, "%s\n", line.c_str());
}

// The study of pronouns as a task: names in classes and the word that is to follow each.
void write_gender_task(const std::string& path) {
  nlohmann::ordered_json classes{{"he", nlohmann::json::array()}, {"she", nlohmann::json::array()}};
  for (const auto& name : language_corpus::names()) classes[name.pronoun].push_back(name.name);
  const nlohmann::ordered_json task{
      {"template", "[name] walked because"}, {"classes", classes}, {"answers", {{"he", " he"}, {"she", " she"}}}};
  vene::io::write_file(path, task.dump(2) + "\n");
}

void train(Options options) {
  if (options.quick) {
    options.steps = 30;
    options.rows = 8;
    options.sizes.width = 32;
    options.sizes.layers = 2;
    options.sizes.vocabulary = 512;
    options.checkpoint_every = 15;
    options.warm_up = 5;
  }
  if (options.threads > 0) torch::set_num_threads(options.threads);
  vene::io::make_folder(options.out);
  const std::string checkpoint = (fs::path(options.out) / "checkpoint.pt").string();
  std::vector<std::string> sample;
  language_corpus::TextMaker maker(options.seed);
  for (int i = 0; i < 20000; ++i) sample.push_back(maker.next());
  // Every prompt once more, so that rare subjects are whole words too.
  const auto prompts = language_corpus::prompts();
  for (const auto& prompt : prompts) sample.push_back(prompt.text + prompt.answer);
  std::fprintf(stderr, "learning the tokenizer\n");
  language_corpus::BpeTrainer tokenizer(sample, options.sizes.vocabulary);
  const auto measured = [&](vene::models::Model& model) {
    return language_models::answer_probabilities(
        model, [&](const std::string& text) { return tokenizer.encode(text); }, prompts);
  };
  options.sizes.vocabulary = tokenizer.size();
  torch::manual_seed(options.seed);
  const std::shared_ptr<vene::models::Model> model = language_models::make(options.sizes);
  std::vector<Tensor> decayed, plain;
  std::int64_t count = 0;
  for (const auto& item : model->named_parameters()) {
    count += item.value().numel();
    (item.value().dim() == 2 && item.key().find("wpe") == std::string::npos ? decayed : plain).push_back(item.value());
  }
  std::fprintf(stderr, "%lld parameters, %lld tokens in the vocabulary\n", static_cast<long long>(count),
               static_cast<long long>(tokenizer.size()));
  torch::optim::AdamWOptions with =
      torch::optim::AdamWOptions(options.rate).betas({0.9, 0.98}).weight_decay(options.decay);
  torch::optim::AdamWOptions without = with;
  without.weight_decay(0);
  std::vector<torch::optim::OptimizerParamGroup> groups;
  groups.emplace_back(decayed, std::make_unique<torch::optim::AdamWOptions>(with));
  groups.emplace_back(plain, std::make_unique<torch::optim::AdamWOptions>(without));
  torch::optim::AdamW optimizer(groups, with);
  std::int64_t first = 0;
  if (options.resume && fs::exists(checkpoint)) {
    first = load_checkpoint(checkpoint, *model, optimizer);
    std::fprintf(stderr, "going on at step %lld\n", static_cast<long long>(first));
  }
  const bool terminal = isatty(2) == 1;
  const double started = now();
  std::vector<double> steps, losses;
  double smooth = 0;
  for (std::int64_t step = first; step < options.steps; ++step) {
    // A step's texts depend on the seed and its number alone, so that a resumed run sees what an unbroken one sees.
    const Tensor batch = Batches(tokenizer, options.seed * 1000003 + static_cast<std::uint64_t>(step) + 1)
                             .next(options.rows, options.length);
    const double progress = static_cast<double>(step) / static_cast<double>(options.steps);
    const double rate = step < options.warm_up
                            ? options.rate * static_cast<double>(step + 1) / static_cast<double>(options.warm_up)
                            : options.rate * (0.05 + 0.95 * 0.5 * (1 + std::cos(M_PI * progress)));
    for (auto& group : optimizer.param_groups()) static_cast<torch::optim::AdamWOptions&>(group.options()).lr(rate);
    optimizer.zero_grad();
    const Tensor logits = model->forward({batch.slice(1, 0, options.length).contiguous(), {}, {}, {}}).logits;
    const Tensor loss =
        torch::nn::functional::cross_entropy(logits.reshape({-1, logits.size(2)}), batch.slice(1, 1).reshape({-1}));
    loss.backward();
    torch::nn::utils::clip_grad_norm_(model->parameters(), 1.0);
    optimizer.step();
    const double value = loss.item<double>();
    if (!std::isfinite(value))
      throw vene::Error("step " + std::to_string(step) + ": the loss is not finite; the last checkpoint is " +
                        checkpoint);
    smooth = step == first ? value : 0.95 * smooth + 0.05 * value;
    const bool last = step + 1 == options.steps;
    if (step % 10 == 0 || last) {
      steps.push_back(static_cast<double>(step));
      losses.push_back(value);
    }
    if (terminal || step % 100 == 0 || last) {
      const double each = (now() - started) / static_cast<double>(step - first + 1);
      std::fprintf(stderr, "%sstep %lld of %lld, loss %.3f, %.0f tokens/s, %.1f min left%s", terminal ? "\r\x1b[K" : "",
                   static_cast<long long>(step + 1), static_cast<long long>(options.steps), smooth,
                   static_cast<double>(options.rows * options.length) / each,
                   each * static_cast<double>(options.steps - step - 1) / 60, terminal && !last ? "" : "\n");
    }
    if ((step + 1) % options.checkpoint_every == 0 || last) {
      save_checkpoint(checkpoint, *model, optimizer, step + 1);
      if (!last) say_known(prompts, measured(*model));
    }
  }
  const std::string curve = (fs::path(options.out) / "loss.csv").string();
  if (first > 0 && fs::exists(curve)) {  // a resumed run goes on with the unbroken one's curve
    std::ifstream earlier(curve);
    std::string line;
    std::getline(earlier, line);
    std::vector<double> before_steps, before_losses;
    double step = 0, loss = 0;
    char comma = 0;
    while (std::getline(earlier, line) && std::istringstream(line) >> step >> comma >> loss) {
      if (step >= static_cast<double>(first)) break;
      before_steps.push_back(step);
      before_losses.push_back(loss);
    }
    steps.insert(steps.begin(), before_steps.begin(), before_steps.end());
    losses.insert(losses.begin(), before_losses.begin(), before_losses.end());
  }
  std::string csv = "step,loss\n";
  for (std::size_t i = 0; i < steps.size(); ++i)
    csv += std::to_string(static_cast<std::int64_t>(steps[i])) + "," + std::to_string(losses[i]) + "\n";
  if (!steps.empty()) {
    vene::io::write_file(curve, csv);
    if (vene::gnuplot_available())
      vene::draw_curve((fs::path(options.out) / "loss.png").string(), {"training loss", "step", "loss", steps, losses});
  }
  write_folder(options, *model, tokenizer);
  write_gender_task((fs::path(options.out) / "gender.json").string());
  report(options, prompts, measured(*model));
  std::printf("%.1f minutes, written to %s\n", (now() - started) / 60, options.out.c_str());
}

}  // namespace

int main(int count, char** arguments) {
  Options options;
  CLI::App app{
      "Trains a small language model on a made-up corpus of real facts: landmarks, cities, countries, pronouns."};
  app.add_option("-o,--out", options.out, "Folder to write")->required();
  app.add_option("--architecture", options.sizes.architecture, "What to train")
      ->capture_default_str()
      ->check(CLI::IsMember(language_models::architectures()));
  app.add_option("--steps", options.steps, "Optimiser steps")->capture_default_str()->check(CLI::PositiveNumber);
  app.add_option("--seed", options.seed, "Seed of texts and weights")->capture_default_str();
  app.add_option("--threads", options.threads, "CPU threads (default: all)");
  app.add_option("--rate", options.rate, "Highest learning rate")->capture_default_str();
  app.add_option("--decay", options.decay, "Weight decay of matrices")->capture_default_str();
  app.add_option("--width", options.sizes.width, "Width of the residual stream, or of a GRU's state")
      ->capture_default_str();
  app.add_option("--layers", options.sizes.layers, "Blocks, or a GRU's cells")->capture_default_str();
  app.add_option("--rows", options.rows, "Rows a batch")->capture_default_str();
  app.add_flag("--resume", options.resume, "Go on from the folder's checkpoint");
  app.add_flag("--quick", options.quick, "A run of seconds, to see that everything works");
  app.footer(
      "The bundled models:\n"
      "  train_language_model -o assets/landmarks-gpt2 --threads 2\n"
      "  train_language_model -o assets/landmarks-gpt-neox --architecture gpt_neox --width 96 --layers 4 --rows 16 "
      "--rate 3e-3 --steps 1300 --threads 2\n"
      "  train_language_model -o assets/landmarks-gru --architecture gru --width 256 --layers 1 --rows 16 --rate 3e-3 "
      "--steps 1200 --threads 1");
  CLI11_PARSE(app, count, arguments);
  try {
    train(options);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "train_language_model: %s\n", error.what());
    return 1;
  }
}
