// SPDX-License-Identifier: Apache-2.0
// vene push and vene pull: saved folders to and from the Hugging Face hub, through the hub's own client.
#include <filesystem>

#include "src/cli/command.h"
#include "src/cli/output_folder.h"
#include "src/cli/saved.h"
#include "src/cli/say.h"
#include "src/cli/stop.h"
#include "src/io/place.h"
#include "vene/base/error.h"
#include "vene/base/version.h"
#include "vene/io/files.h"
#include "vene/io/program.h"
#include "vene/io/stage_folder.h"

namespace vene::cli {
namespace {

namespace fs = std::filesystem;

bool is_name(const std::string& text) {
  const bool plain = !text.empty() && text.size() <= 96 && std::all_of(text.begin(), text.end(), [](unsigned char c) {
    return std::isalnum(c) || c == '-' || c == '_' || c == '.';
  });
  auto at_an_end = [&](char c) { return text.front() == c || text.back() == c; };
  return plain && !at_an_end('-') && !at_an_end('.') && text.find("--") == std::string::npos &&
         text.find("..") == std::string::npos && !text.ends_with(".git");
}

// What is wrong with the name of a repository; empty where nothing is.
std::string repository_problem(const std::string& name) {
  const std::size_t slash = name.find('/');
  const bool good = slash != std::string::npos && is_name(name.substr(0, slash)) && is_name(name.substr(slash + 1));
  return good ? "" : "expected user/name (letters, digits, '-', '_' and '.'), got '" + name + "'";
}

void run_client(const std::vector<std::string>& arguments) {
  const std::string program = io::find_program("hf");
  if (program.empty())
    throw IoError("the Hugging Face client 'hf' is not on the PATH; install it with: pip install huggingface_hub");
  const int status = io::run_program(program, arguments);
  Interruptible::check(arguments[0] == "upload" ? "what is uploaded by now is the hub's" : "nothing was written");
  if (status != 0)
    throw IoError("'hf " + arguments[0] + "' ended with status " + std::to_string(status) + "; what it says is above");
}

struct PushOptions {
  std::string folder, name, base_model, message;
  bool is_private = false;
};

void copy(const SavedFile& file, const fs::path& to) {
  std::error_code error;
  fs::create_directories(to.parent_path());
  // A second name for the same bytes where that can be; the client only reads them.
  fs::create_hard_link(fs::canonical(file.path), to, error);
  if (error) fs::copy_file(file.path, to, error);
  if (error) throw IoError("cannot copy '" + file.path + "': " + error.message());
}

bool is_below(const fs::path& path, const fs::path& folder) {
  return std::mismatch(folder.begin(), folder.end(), path.begin(), path.end()).first == folder.end();
}

// A link's content is sent in its place, so it must be the folder's own: within it or, where the folder is a snapshot
// in the hub's cache, among the cache's blobs.
void refuse_links_away(const fs::path& folder) {
  const fs::path root = fs::canonical(folder);
  const bool in_cache = root.parent_path().filename() == "snapshots";
  const fs::path blobs = root.parent_path().parent_path() / "blobs";
  for (fs::recursive_directory_iterator entry(folder), end; entry != end; ++entry) {
    if (entry->path().filename().string().starts_with(".")) {
      entry.disable_recursion_pending();
      continue;
    }
    const std::string name = entry->path().string();
    const io::Place place = io::look_at(name);  // refuses a link to nothing
    if (place == io::Place::kOther) throw IoError("'" + name + "' is a pipe or a device, which cannot be sent");
    if (!entry->is_symlink()) continue;
    const fs::path target = fs::canonical(entry->path());
    if (place == io::Place::kFolder)
      throw IoError("'" + name + "' is a link to the folder '" + target.string() + "'; only links to files are sent");
    if (!is_below(target, root) && !(in_cache && is_below(target, blobs)))
      throw IoError("'" + name + "' is a link out of the folder, to '" + target.string() + "', and is not sent");
  }
}

void push(const PushOptions& options) {
  const Interruptible stops;
  const SavedFolder saved = inspect_saved(options.folder);
  refuse_links_away(options.folder);
  if (io::find_program("hf").empty()) run_client({});  // says so before anything is copied
  const io::StageFolder stage(fs::temp_directory_path().string());
  const fs::path copied = stage.staged("push");
  fs::create_directory(copied);
  bool has_card = false;
  for (const SavedFile& file : saved.files) {
    copy(file, copied / file.name);
    has_card = has_card || file.name == "README.md";
  }
  if (!has_card) io::write_file((copied / "README.md").string(), model_card(saved, options.name, options.base_model));
  std::vector<std::string> arguments{"upload", options.name, copied.string(), ".",
                                     "--commit-message=" + options.message};
  if (options.is_private) arguments.push_back("--private");
  run_client(arguments);
  if (loudness().quiet) return;
  std::printf("%s: %zu files from %s\n", options.name.c_str(), saved.files.size() + (has_card ? 0 : 1),
              options.folder.c_str());
}

struct PullOptions {
  std::string name, folder, revision;
};

void pull(const PullOptions& options) {
  const Interruptible stops;
  fs::path target = fs::absolute(options.folder).lexically_normal();
  if (!target.has_filename()) target = target.parent_path();
  std::error_code ignored;
  const io::Place there = io::look_at(options.folder);
  if (there != io::Place::kNothing && !(there == io::Place::kFolder && fs::is_empty(target, ignored)))
    throw IoError("'" + options.folder + "' is there already; name a new folder");
  if (there == io::Place::kFolder) target = fs::canonical(target);  // a link to an empty folder stays
  if (io::find_program("hf").empty()) run_client({});
  std::string model;
  OutputFolder parent(target.parent_path().string());
  parent.write(target.filename().string(), [&](const std::string& fetched) {
    fs::create_directory(fetched);
    std::vector<std::string> arguments{"download", options.name, "--local-dir=" + fetched};
    if (!options.revision.empty()) arguments.push_back("--revision=" + options.revision);
    run_client(arguments);
    for (const char* of_the_hub : {".cache", ".gitattributes"}) fs::remove_all(fs::path(fetched) / of_the_hub, ignored);
    try {
      model = model_text(inspect_saved(fetched));
    } catch (const Error& error) {
      throw IoError(options.name + ": is not kept: " + error.what());
    }
  });
  parent.commit(loudness().quiet ? "" : options.folder + ": for the model " + model + "\n");
}

}  // namespace

void add_push(CLI::App& app) {
  auto options = std::make_shared<PushOptions>();
  options->message = "Interventions of vene " + build_info().version;
  CLI::App* command = app.add_subcommand("push", "Upload a saved folder to the Hugging Face hub, with a model card");
  command->add_option("DIR", options->folder, "Folder that was saved; stays as it is")
      ->required()
      ->option_text("DIR REQUIRED");
  command->add_option("NAME", options->name, "Where to: user/name")
      ->required()
      ->option_text("USER/NAME REQUIRED")
      ->check(repository_problem);
  command
      ->add_option("--base-model", options->base_model,
                   "The model on the hub that the interventions are for, for the card")
      ->type_name("USER/NAME")
      ->check(repository_problem);
  command->add_option("--message", options->message, "Of the commit")->capture_default_str()->type_name("TEXT");
  command->add_flag("--private", options->is_private, "Where the repository is new, make it a private one");
  command->footer("Example: vene push trained me/gender-das --base-model openai-community/gpt2");
  command->callback([options] { push(*options); });
}

void add_pull(CLI::App& app) {
  auto options = std::make_shared<PullOptions>();
  CLI::App* command = app.add_subcommand("pull", "Download a saved folder from the Hugging Face hub");
  command->add_option("NAME", options->name, "Where from: user/name")
      ->required()
      ->option_text("USER/NAME REQUIRED")
      ->check(repository_problem);
  command->add_option("DIR", options->folder, "A new folder")->required()->option_text("DIR REQUIRED");
  command->add_option("--revision", options->revision, "Branch, tag or commit")->type_name("NAME");
  command->footer("Example: vene pull me/gender-das trained");
  command->callback([options] { pull(*options); });
}

}  // namespace vene::cli
