// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "full_disk.h"
#include "helpers.h"
#include "vene/io/files.h"
#include "vene/io/safetensors.h"
#include "vene/io/stage_folder.h"

namespace {

using namespace vene_test;
using namespace vene::io;
using testing::HasSubstr;

TEST(WriteFile, WritesAndReplaces) {
  const TestFolder folder;
  write_file(folder / "a", "one");
  write_file(folder / "a", std::string("two\0three", 9));
  EXPECT_EQ(read_file(folder / "a"), std::string("two\0three", 9));
  EXPECT_EQ(folder.entries(), 1U);
}

TEST(WriteFile, TheFileHasTheUsersPermissions) {
  const TestFolder folder;
  const mode_t mask = ::umask(0027);
  write_file(folder / "a", "x");
  ::umask(mask);
  struct stat status {};
  ASSERT_EQ(::stat((folder / "a").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0640U);
}

TEST(WriteFile, ALongNameIsNoObstacle) {
  const TestFolder folder;
  write_file(folder / std::string(255, 'n'), "x");
  EXPECT_EQ(read_file(folder / std::string(255, 'n')), "x");
}

TEST(WriteFile, ADeviceIsWrittenStraight) {
  write_file("/dev/null", "x");
}

TEST(WriteFile, AnUnwritablePlaceIsNamedWithItsReason) {
  const TestFolder folder;
  folder.write("file", "x");
  EXPECT_THAT(io_error([&] { write_file(folder / "file/below", "x"); }),
              AllOf(HasSubstr("file/below"), HasSubstr("Not a directory")));
  EXPECT_THAT(io_error([&] { write_file(folder / "absent/a", "x"); }), HasSubstr("No such file or directory"));
  EXPECT_THAT(io_error([&] { write_file(folder.path(), "x"); }), HasSubstr("is a folder"));
  EXPECT_THAT(io_error([&] { write_file("", "x"); }), HasSubstr("is a folder"));
  EXPECT_THAT(io_error([&] {
                write_safetensors("/proc/absent.safetensors", {{"a", torch::ones({1})}});
              }),
              HasSubstr("cannot write '/proc/absent.safetensors'"));
  EXPECT_EQ(folder.entries(), 1U);
}

TEST(WriteFile, AFileThatGrowsTooLargeLeavesTheOldOneAndNothingElse) {
  const TestFolder folder;
  const std::string path = folder / "a.safetensors";
  write_safetensors(path, {{"a", torch::ones({2})}});
  const std::string before = read_file(path);
  {
    const FileSizeLimit limit(50'000);
    EXPECT_THAT(io_error([&] {
                  write_safetensors(path, {{"a", torch::ones({100'000})}});
                }),
                HasSubstr("File too large"));
    EXPECT_THAT(io_error([&] { write_file(folder / "fresh", std::string(60'000, 'x')); }), HasSubstr("File too large"));
  }
  EXPECT_EQ(read_file(path), before);
  EXPECT_EQ(folder.entries(), 1U);
}

TEST(WriteFile, AFullDiskLeavesTheOldFileAndNothingElse) {
  const TestFolder folder;
  const SmallDisk disk(folder / "disk", 64);
  if (!disk.mounted()) GTEST_SKIP() << "mounting a small disk needs root";
  const std::string path = folder / "disk/a.safetensors";
  write_safetensors(path, {{"a", torch::ones({2})}});
  const std::string before = read_file(path);
  EXPECT_THAT(io_error([&] {
                write_safetensors(path, {{"a", torch::ones({100'000})}});
              }),
              HasSubstr("No space left on device"));
  EXPECT_EQ(read_file(path), before);
  const auto entries =
      std::distance(std::filesystem::directory_iterator(folder / "disk"), std::filesystem::directory_iterator());
  EXPECT_EQ(entries, 1);
  write_file(folder / "disk/b", std::string(30'000, 'x'));  // the space is free again
}

TEST(WriteFile, WhatAKilledProcessLeftBehindGoesWithTheNextWriteAndWhatAnotherWritesStays) {
  const TestFolder folder;
  folder.write(".a.77-3.tmp", "left behind");
  folder.write(".b.77-3.tmp", "of another file");
  folder.write(".a.mine.tmp", "no name of ours");
  folder.write(".a.78-0.tmp", "still being written");
  const int living = ::open((folder / ".a.78-0.tmp").c_str(), O_WRONLY);
  ASSERT_EQ(::flock(living, LOCK_EX), 0);
  write_file(folder / "a", "x");
  EXPECT_FALSE(std::filesystem::exists(folder / ".a.77-3.tmp"));
  for (const char* kept : {"a", ".b.77-3.tmp", ".a.mine.tmp", ".a.78-0.tmp"})
    EXPECT_TRUE(std::filesystem::exists(folder / kept)) << kept;
  ::close(living);
  write_file(folder / "a", "y");
  EXPECT_EQ(folder.entries(), 3U);
}

TEST(StageFolder, WhatAKilledProcessLeftBehindGoesWithTheNextAndALivingOneStays) {
  const TestFolder folder;
  std::filesystem::create_directories(folder / ".vene-abcdef");
  write_file(folder / ".vene-abcdef/half", "x");
  std::filesystem::create_directories(folder / ".vene-abcdefg");
  {
    const StageFolder first(folder.path());
    EXPECT_FALSE(std::filesystem::exists(folder / ".vene-abcdef"));
    first.write("a", [](const std::string& path) { write_file(path, "one"); });
    const StageFolder second(folder.path());
    second.write("a", [](const std::string& path) { write_file(path, "two"); });
    EXPECT_EQ(folder.entries(), 3U);
    first.move("a");
    EXPECT_EQ(read_file(folder / "a"), "one");
    second.move("a");
    EXPECT_EQ(read_file(second.final_place("a")), "two");
    EXPECT_THAT(io_error([&] { second.move("a"); }),
                HasSubstr("cannot write '" + folder / "a" + "': No such file or directory"));
    EXPECT_THAT(io_error([&] { first.write("b/c", [](const std::string& path) { write_file(path, "x"); }); }),
                HasSubstr("cannot write '" + folder / "b/c" + "'"));
  }
  EXPECT_EQ(folder.entries(), 2U) << "a, and what has no name of ours";
}

TEST(WriteSafetensors, WhatTheFormatCannotHoldIsRefusedBeforeAnythingIsWritten) {
  const TestFolder folder;
  const std::string path = folder / "a.safetensors";
  const torch::Tensor one = torch::ones({1});
  const auto says = [&](const NamedTensors& tensors, const std::string& what) {
    EXPECT_THAT(io_error([&] { write_safetensors(path, tensors); }), HasSubstr(what));
  };
  says({{"a", one}, {"a", one}}, "'a': the name is given twice");
  says({{"__metadata__", one}}, "keeps that name");
  says({{"a", {}}}, "undefined");
  says({{"a", torch::ones({2, 2}).to_sparse()}}, "only dense tensors");
  says({{"a", torch::ones({2}, torch::kMeta)}}, "meta device");
  says({{"a", torch::ones({2}, torch::kComplexDouble)}}, "no dtype for ComplexDouble");
  says({{"\xff", one}}, "not valid UTF-8");
  EXPECT_EQ(folder.entries(), 0U);
}

TEST(MakeFolder, MakesParentsAndRefusesAFile) {
  const TestFolder folder;
  make_folder(folder / "a/b/c/");
  make_folder(folder / "a/b/c");
  EXPECT_TRUE(std::filesystem::is_directory(folder / "a/b/c"));
  folder.write("file", "x");
  EXPECT_THAT(io_error([&] { make_folder(folder / "file"); }), HasSubstr("is a file where a folder is wanted"));
  EXPECT_THAT(io_error([&] { make_folder(folder / "file/below"); }), HasSubstr("Not a directory"));
}

TEST(ReadFile, ReadsPipesLikeFilesAndNamesWhatIsMissing) {
  EXPECT_FALSE(read_file("/proc/self/status").empty());
  EXPECT_THAT(io_error([] { read_file("/absent/file"); }), HasSubstr("No such file or directory"));
  EXPECT_THAT(io_error([] { read_file("/"); }), HasSubstr("directory"));
}

}  // namespace
