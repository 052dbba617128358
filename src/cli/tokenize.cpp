// SPDX-License-Identifier: Apache-2.0
#include <nlohmann/json.hpp>

#include "src/cli/command.h"
#include "vene/base/error.h"
#include "vene/text/tokenizer.h"

namespace vene::cli {
namespace {

struct Options {
  std::string folder;
  std::string text;
  std::string file;
  bool no_special = false;
  bool ids = false;
  bool json = false;
  std::vector<std::int64_t> decode;
};

void tokenize(const Options& options) {
  const auto tokenizer = text::Tokenizer::load(options.folder);
  if (!tokenizer)
    throw IoError(options.folder +
                  ": no tokenizer files here (tokenizer.json, tokenizer.model, vocab.json with merges.txt)");
  if (!options.decode.empty()) {
    for (std::int64_t id : options.decode) {
      if (id < 0 || id >= tokenizer->size())
        throw ConfigError("--decode: id " + std::to_string(id) + " is out of range, 0 to " +
                          std::to_string(tokenizer->size() - 1));
    }
    std::printf("%s\n", tokenizer->decode(options.decode, /*skip_special=*/false).c_str());
    return;
  }
  const std::string text = options.file.empty() ? options.text : read_input(options.file);
  const std::vector<text::Token> tokens = tokenizer->tokens(text, !options.no_special);
  if (options.json) {
    nlohmann::ordered_json all = nlohmann::ordered_json::array();
    for (const text::Token& token : tokens)
      all.push_back({{"id", token.id}, {"text", token.text}, {"begin", token.begin}, {"end", token.end}});
    std::printf("%s\n", all.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace).c_str());
    return;
  }
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    if (options.ids) {
      std::printf("%s%lld", i > 0 ? " " : "", static_cast<long long>(tokens[i].id));
      continue;
    }
    const std::string shown =
        nlohmann::json(tokens[i].text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
    std::printf("%4zu %8lld  %-24s %lld-%lld\n", i, static_cast<long long>(tokens[i].id), shown.c_str(),
                static_cast<long long>(tokens[i].begin), static_cast<long long>(tokens[i].end));
  }
  if (options.ids) std::printf("\n");
}

}  // namespace

void add_tokenize(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("tokenize", "Show how a text is cut into tokens: position, id, text, bytes");
  command->add_option("-m,--model", options->folder, "Folder with tokenizer files")
      ->required()
      ->envname("VENE_MODEL")
      ->type_name("DIR");
  auto* text = command->add_option("TEXT,-p,--prompt", options->text, "The text")->option_text("TEXT");
  auto* file = command->add_option("-f,--file", options->file, "Read the text from a file (- for standard input)")
                   ->option_text("FILE");
  auto* decode =
      command->add_option("--decode", options->decode, "Token ids to turn into text instead")->option_text("ID ...");
  file->excludes(text);
  decode->excludes(text)->excludes(file);
  command->add_flag("--no-special", options->no_special, "Leave out what the tokenizer adds in front and behind");
  command->add_flag("--ids", options->ids, "Print ids only, on one line");
  command->add_flag("--json", options->json, "Print JSON");
  command->footer("Example: vene tokenize -m assets/landmarks-gpt2 'The Space Needle is in downtown'");
  command->callback([options, text, file, decode] {
    if (text->count() + file->count() + decode->count() == 0) throw CLI::RequiredError("TEXT, --file or --decode");
    tokenize(*options);
  });
}

}  // namespace vene::cli
