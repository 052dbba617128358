// SPDX-License-Identifier: Apache-2.0
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>

#include "helpers.h"
#include "vene/io/files.h"
#include "vene/io/safetensors.h"

namespace {

using namespace vene_test;
using namespace vene::io;
using testing::HasSubstr;

/// No file may grow beyond a size while this lives: as near to a full disk as one comes without root.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) {
    before_handler_ = std::signal(SIGXFSZ, SIG_IGN);
    ::getrlimit(RLIMIT_FSIZE, &before_);
    rlimit limit = before_;
    limit.rlim_cur = bytes;
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() {
    ::setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, before_handler_);
  }

 private:
  rlimit before_{};
  void (*before_handler_)(int);
};

TEST(WriteFile, WritesAndReplaces) {
  const TemporaryFolder folder;
  write_file(folder.path("a"), "one");
  write_file(folder.path("a"), std::string("two\0three", 9));
  EXPECT_EQ(read_file(folder.path("a")), std::string("two\0three", 9));
  EXPECT_EQ(folder.entries(), 1U);
}

TEST(WriteFile, TheFileHasTheUsersPermissions) {
  const TemporaryFolder folder;
  const mode_t mask = ::umask(0027);
  write_file(folder.path("a"), "x");
  ::umask(mask);
  struct stat status {};
  ASSERT_EQ(::stat(folder.path("a").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0640U);
}

TEST(WriteFile, ALongNameIsNoObstacle) {
  const TemporaryFolder folder;
  write_file(folder.path(std::string(255, 'n')), "x");
  EXPECT_EQ(read_file(folder.path(std::string(255, 'n'))), "x");
}

TEST(WriteFile, ADeviceIsWrittenStraight) { write_file("/dev/null", "x"); }

TEST(WriteFile, AnUnwritablePlaceIsNamedWithItsReason) {
  const TemporaryFolder folder;
  folder.write("file", "x");
  EXPECT_THAT(io_error([&] { write_file(folder.path("file/below"), "x"); }), AllOf(HasSubstr("file/below"), HasSubstr("Not a directory")));
  EXPECT_THAT(io_error([&] { write_file(folder.path("absent/a"), "x"); }), HasSubstr("No such file or directory"));
  EXPECT_THAT(io_error([&] { write_file(folder.path(), "x"); }), HasSubstr("is a folder"));
  EXPECT_THAT(io_error([&] { write_file("", "x"); }), HasSubstr("is a folder"));
  EXPECT_THAT(io_error([&] { write_safetensors("/proc/absent.safetensors", {{"a", torch::ones({1})}}); }), HasSubstr("cannot write '/proc/absent.safetensors'"));
  EXPECT_EQ(folder.entries(), 1U);
}

TEST(WriteFile, AFileThatGrowsTooLargeLeavesTheOldOneAndNothingElse) {
  const TemporaryFolder folder;
  const std::string path = folder.path("a.safetensors");
  write_safetensors(path, {{"a", torch::ones({2})}});
  const std::string before = read_file(path);
  {
    const FileSizeLimit limit(50'000);
    EXPECT_THAT(io_error([&] { write_safetensors(path, {{"a", torch::ones({100'000})}}); }), HasSubstr("File too large"));
    EXPECT_THAT(io_error([&] { write_file(folder.path("fresh"), std::string(60'000, 'x')); }), HasSubstr("File too large"));
  }
  EXPECT_EQ(read_file(path), before);
  EXPECT_EQ(folder.entries(), 1U);
}

TEST(WriteFile, AFullDiskLeavesTheOldFileAndNothingElse) {
  const TemporaryFolder folder;
  std::filesystem::create_directory(folder.path("disk"));
  if (::mount("tmpfs", folder.path("disk").c_str(), "tmpfs", 0, "size=64k") != 0) GTEST_SKIP() << "mounting a small disk needs root";
  const std::string path = folder.path("disk/a.safetensors");
  write_safetensors(path, {{"a", torch::ones({2})}});
  const std::string before = read_file(path);
  EXPECT_THAT(io_error([&] { write_safetensors(path, {{"a", torch::ones({100'000})}}); }), HasSubstr("No space left on device"));
  EXPECT_EQ(read_file(path), before);
  const auto entries = std::distance(std::filesystem::directory_iterator(folder.path("disk")), std::filesystem::directory_iterator());
  EXPECT_EQ(entries, 1);
  write_file(folder.path("disk/b"), std::string(30'000, 'x'));  // the space is free again
  ::umount2(folder.path("disk").c_str(), MNT_DETACH);
}

TEST(WriteSafetensors, WhatTheFormatCannotHoldIsRefusedBeforeAnythingIsWritten) {
  const TemporaryFolder folder;
  const std::string path = folder.path("a.safetensors");
  const torch::Tensor one = torch::ones({1});
  const auto says = [&](const NamedTensors& tensors, const std::string& what) { EXPECT_THAT(io_error([&] { write_safetensors(path, tensors); }), HasSubstr(what)); };
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
  const TemporaryFolder folder;
  make_folder(folder.path("a/b/c/"));
  make_folder(folder.path("a/b/c"));
  EXPECT_TRUE(std::filesystem::is_directory(folder.path("a/b/c")));
  folder.write("file", "x");
  EXPECT_THAT(io_error([&] { make_folder(folder.path("file")); }), HasSubstr("is a file where a folder is wanted"));
  EXPECT_THAT(io_error([&] { make_folder(folder.path("file/below")); }), HasSubstr("Not a directory"));
}

TEST(ReadFile, ReadsPipesLikeFilesAndNamesWhatIsMissing) {
  EXPECT_FALSE(read_file("/proc/self/status").empty());
  EXPECT_THAT(io_error([] { read_file("/absent/file"); }), HasSubstr("No such file or directory"));
  EXPECT_THAT(io_error([] { read_file("/"); }), HasSubstr("directory"));
}

}  // namespace
