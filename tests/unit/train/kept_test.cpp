// SPDX-License-Identifier: Apache-2.0
// What was saved stays readable whatever becomes of the next save: killed, out of disk, in two processes at once.
#include "unit/train/kept.h"

#include <gmock/gmock.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <random>
#include <thread>

#include "full_disk.h"
#include "tests/places.h"
#include "vene/base/error.h"
#include "vene/io/files.h"
#include "vene/io/safetensors.h"

namespace vene {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::ThrowsMessage;
using vene_test::number_saved;
using vene_test::numbered_interventions;

class KeptTest : public testing::Test {
 protected:
  fs::path root_ = fs::path(testing::TempDir()) / ("kept_test-" + std::to_string(::getpid()));
  std::string folder_ = (root_ / "saved").string();

  void SetUp() override { fs::create_directories(root_); }
  void TearDown() override { fs::remove_all(root_); }
  static std::vector<std::string> names(const fs::path& folder) {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(folder)) names.push_back(entry.path().filename().string());
    std::sort(names.begin(), names.end());
    return names;
  }
  std::string file(const char* name) const { return (fs::path(folder_) / name).string(); }
  // Starts the program and waits until it begins.
  pid_t start(std::int64_t first, std::int64_t count) const {
    int ends[2];
    EXPECT_EQ(::pipe(ends), 0);
    const std::string program = std::string(vene_test::kBinaryFolder) + "/bin/save_endlessly",
                      from = std::to_string(first), many = std::to_string(count);
    const pid_t child = ::fork();
    if (child == 0) {
      ::dup2(ends[1], STDOUT_FILENO);
      ::close(ends[0]);
      ::close(ends[1]);
      ::execl(program.c_str(), program.c_str(), root_.c_str(), from.c_str(), many.c_str(), static_cast<char*>(nullptr));
      ::_exit(127);
    }
    ::close(ends[1]);
    char ready[8]{};
    EXPECT_EQ(::read(ends[0], ready, 6), 6) << program << " did not begin";
    ::close(ends[0]);
    return child;
  }
};

constexpr const char* kTensors = "interventions.safetensors";
constexpr const char* kKept = ".previous-interventions.safetensors";

TEST_F(KeptTest, AProcessThatIsKilledFiftyTimesLeavesAWholeSaveAndAWholeCheckpointEachTime) {
  numbered_interventions(0)->save(folder_);
  std::mt19937 random(std::random_device{}());
  std::map<std::int64_t, torch::Tensor>
      checkpoints;  // parameters before each step that a killed training would go on with
  std::int64_t last = 0;
  int left_behind = 0;
  for (int killed = 0; killed < 50; ++killed) {
    const pid_t child = start(last + 1, 1'000'000);
    std::this_thread::sleep_for(std::chrono::microseconds(std::uniform_int_distribution<int>(0, 150'000)(random)));
    ASSERT_EQ(::kill(child, SIGKILL), 0);
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status)) << "it ended by itself, with " << status;
    const std::int64_t number = number_saved(folder_);
    EXPECT_GE(number, last) << "an older save came back";
    last = number;
    for (const std::string& name : names(folder_)) left_behind += name.starts_with(".") ? 1 : 0;
    const fs::path checkpoint = root_ / "training" / "checkpoint.safetensors";
    if (!fs::exists(checkpoint)) continue;
    const auto open = io::Safetensors::open(checkpoint.string());
    const std::int64_t step = nlohmann::json::parse(open.metadata().at("state"))["next_step"];
    checkpoints[step] = open.tensor("parameter.0").clone();
    ASSERT_FALSE(HasFailure()) << "after kill " << killed;
  }
  EXPECT_GT(last, 0) << "no save came to its end in fifty runs";
  EXPECT_GT(left_behind, 0) << "no kill hit a save";
  ASSERT_GT(checkpoints.size(), 1U);

  // Left to itself once, the program clears away what the others left.
  int status = 0;
  const pid_t child = start(last + 1, 2);
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(number_saved(folder_), last + 2);
  EXPECT_THAT(names(folder_), testing::IsSubsetOf({"config.json", kTensors, "model_parts.safetensors"}));
  EXPECT_THAT(names(root_ / "training"), testing::ElementsAre("checkpoint.safetensors", "log.csv"));

  // Broken fifty times, it is the unbroken training to the bit.
  torch::set_num_threads(1);
  auto model = vene_test::untrained();
  train::TrainOptions options = vene_test::long_training("");
  options.resume = false;
  std::size_t compared = 0;
  options.progress = [&](const train::Progress& progress) {
    const auto found = checkpoints.find(progress.latest.step + 1);
    if (found != checkpoints.end()) {
      EXPECT_TRUE(torch::equal(model->trainable_parameters()[0], found->second))
          << "after step " << progress.latest.step;
      ++compared;
    }
    return progress.latest.step + 1 < checkpoints.rbegin()->first;
  };
  train::Trainer(model, options).fit(vene_test::some_examples());
  EXPECT_EQ(compared, checkpoints.size());
}

TEST_F(KeptTest, ASaveThatBreaksOffBetweenAnyTwoOfItsRenamesIsNotThere) {
  const std::string other = (root_ / "other").string();
  numbered_interventions(1)->save(folder_);
  numbered_interventions(3)->save(other);
  fs::rename(file(kTensors), file(kKept));
  EXPECT_EQ(number_saved(folder_), 1);
  fs::copy(fs::path(other) / kTensors, file(kTensors));
  EXPECT_EQ(number_saved(folder_), 1);
  numbered_interventions(2)->save(other);  // the next save's parts are there, and config.json is not
  fs::copy(fs::path(other) / "model_parts.safetensors", file("model_parts.safetensors"));
  EXPECT_EQ(number_saved(folder_), 1);
  numbered_interventions(5)->save(folder_);  // over what broke off
  EXPECT_EQ(number_saved(folder_), 5);
  EXPECT_THAT(names(folder_), testing::ElementsAre("config.json", kTensors));
  numbered_interventions(4)->save(folder_);
  EXPECT_THAT(names(folder_), testing::ElementsAre("config.json", kTensors, "model_parts.safetensors"));
  fs::copy(fs::path(other) / kTensors, file(kKept));  // renamed all, kept file not yet taken away
  EXPECT_EQ(number_saved(folder_), 4);
}

TEST_F(KeptTest, FilesOfTwoSavesAreNoSave) {
  const std::string other = (root_ / "other").string();
  numbered_interventions(2)->save(folder_);
  numbered_interventions(4)->save(other);
  fs::copy(fs::path(other) / kTensors, file(kTensors), fs::copy_options::overwrite_existing);
  EXPECT_THAT([&] { number_saved(folder_); },
              ThrowsMessage<IoError>(
                  HasSubstr("interventions.safetensors: is of another save than the config.json beside it")));
  fs::remove(file(kTensors));
  EXPECT_THAT([&] { number_saved(folder_); },
              ThrowsMessage<IoError>(
                  HasSubstr("interventions.safetensors: is missing, and config.json says that it was saved with it")));
  numbered_interventions(4)->save(folder_);
  EXPECT_EQ(number_saved(folder_), 4);
  fs::remove(file("model_parts.safetensors"));
  EXPECT_THAT([&] { number_saved(folder_); }, ThrowsMessage<IoError>(HasSubstr("model_parts.safetensors: is missing")));
}

TEST_F(KeptTest, AReaderFindsWholeSavesWhileAnotherProcessSaves) {
  numbered_interventions(0)->save(folder_);
  int status = 0;
  const pid_t child = start(1, 40);
  std::int64_t last = 0;
  while (::waitpid(child, &status, WNOHANG) == 0) {
    const std::int64_t number = number_saved(folder_);
    EXPECT_GE(number, last);
    last = number;
  }
  EXPECT_EQ(status, 0);
  EXPECT_EQ(number_saved(folder_), 40);
}

TEST_F(KeptTest, AFullDiskLeavesTheSaveBefore) {
  numbered_interventions(1)->save(folder_);
  {
    const vene_test::FileSizeLimit limit(20'000);
    EXPECT_THAT([&] { numbered_interventions(2)->save(folder_); },
                ThrowsMessage<IoError>(HasSubstr("cannot write '" + file(kTensors) + "': File too large")));
  }
  EXPECT_EQ(number_saved(folder_), 1);
  EXPECT_THAT(names(folder_), testing::ElementsAre("config.json", kTensors));
  const std::string small = (root_ / "small").string();
  const vene_test::SmallDisk disk(small, 80);
  if (!disk.mounted()) GTEST_SKIP() << "mounting a small disk needs root";
  numbered_interventions(1)->save(small);
  EXPECT_THAT([&] { numbered_interventions(2)->save(small); },
              ThrowsMessage<IoError>(HasSubstr("No space left on device")));
  EXPECT_EQ(number_saved(small), 1);
  EXPECT_THAT(names(small), testing::ElementsAre("config.json", kTensors));
}

}  // namespace
}  // namespace vene
