// SPDX-License-Identifier: Apache-2.0
// Paths that are no plain file or folder: one sentence, at once, and nothing of what was there is changed.
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>

#include "helpers.h"
#include "src/io/mapped_file.h"
#include "vene/io/files.h"
#include "vene/io/safetensors.h"
#include "vene/io/stage_folder.h"

namespace {

using namespace vene_test;
using namespace vene::io;
using testing::HasSubstr;
namespace fs = std::filesystem;

// Places where neither a file nor a folder can be.
struct Odd {
  const char* name;
  const char* says;
};
constexpr Odd kOdd[] = {{"pipe", "pipe or a device"},
                        {"dangling", "is a link to 'nowhere', where nothing is"},
                        {"loop", "is a loop of links"},
                        {"null", "pipe or a device"}};

class Places : public testing::Test {
 protected:
  Places() {
    ::mkfifo((folder / "pipe").c_str(), 0600);
    fs::create_symlink("nowhere", folder / "dangling");
    fs::create_symlink("loop", folder / "loop");
    fs::create_symlink("/dev/null", folder / "null");
  }
  void expect_untouched() const {
    EXPECT_EQ(folder.entries(), 4U);
    EXPECT_EQ(fs::read_symlink(folder / "dangling"), "nowhere");
    EXPECT_EQ(fs::read_symlink(folder / "loop"), "loop");
    EXPECT_TRUE(fs::is_fifo(folder / "pipe"));
  }
  TestFolder folder;
  const std::string long_name = std::string(300, 'n');
};

TEST_F(Places, NoFileIsWrittenThere) {
  for (const auto& [name, says] : kOdd)
    EXPECT_THAT(io_error([&, &n = name] { check_file_place(folder / n); }), HasSubstr(says));
  EXPECT_THAT(io_error([&] { check_file_place(""); }), HasSubstr("is empty"));
  EXPECT_THAT(io_error([&] { check_file_place(folder.path()); }), HasSubstr("is a folder"));
  EXPECT_THAT(io_error([&] { check_file_place(folder / "new/"); }), HasSubstr("is a folder"));
  EXPECT_THAT(io_error([&] { check_file_place(folder / "absent/file"); }), HasSubstr("No such file or directory"));
  EXPECT_THAT(io_error([&] { check_file_place(folder / long_name); }), HasSubstr("File name too long"));
  check_file_place(folder / "new");
  EXPECT_THAT(io_error([&] { write_file(folder / "pipe", "x"); }), HasSubstr("No such device or address"));
  EXPECT_THAT(io_error([&] { write_file(folder / "dangling", "x"); }), HasSubstr("where nothing is"));
  EXPECT_THAT(io_error([&] { write_file(folder / "loop", "x"); }), HasSubstr("is a loop of links"));
  EXPECT_THAT(io_error([&] { write_file(folder / long_name, "x"); }), HasSubstr("File name too long"));
  expect_untouched();
}

TEST_F(Places, NoFolderIsMadeThere) {
  for (const auto& [name, says] : kOdd)
    EXPECT_THAT(io_error([&, &n = name] { make_folder(folder / n); }), HasSubstr(says));
  EXPECT_THAT(io_error([&] { make_folder(folder / "dangling/below"); }), HasSubstr("where nothing is"));
  EXPECT_THAT(io_error([&] { make_folder(folder / "pipe/below"); }), HasSubstr("Not a directory"));
  EXPECT_THAT(io_error([&] { make_folder(folder / "a/b/" + long_name); }), HasSubstr("File name too long"));
  EXPECT_THAT(io_error([] { make_folder(""); }), HasSubstr("is empty"));
  expect_untouched();
}

TEST_F(Places, NothingIsReadThere) {
  EXPECT_THAT(io_error([&] { read_file(folder / "pipe"); }), HasSubstr("is not a regular file"));
  EXPECT_THAT(io_error([&] { read_file(folder / "null"); }), HasSubstr("is not a regular file"));
  EXPECT_THAT(io_error([&] { read_file(folder / "loop"); }), HasSubstr("Too many levels of symbolic links"));
  EXPECT_THAT(io_error([&] { read_tensors(folder / "pipe"); }), HasSubstr("is not a regular file"));
  expect_untouched();
}

TEST(ReadFile, WhatAShellHandsOverIsReadToItsEnd) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  ASSERT_EQ(::write(ends[1], "text", 4), 4);
  ::close(ends[1]);
  EXPECT_EQ(read_file("/dev/fd/" + std::to_string(ends[0])), "text");
  ::close(ends[0]);
}

TEST(WriteFile, ALinkStaysAndTheFileThatItLeadsToIsReplaced) {
  const TestFolder folder;
  fs::create_directory(folder / "below");
  folder.write("below/file", "older");
  fs::create_symlink("below/file", folder / "link");
  check_file_place(folder / "link");
  write_file(folder / "link", "newer");
  EXPECT_EQ(fs::read_symlink(folder / "link"), "below/file");
  EXPECT_EQ(read_file(folder / "below/file"), "newer");
}

TEST(MakeFolder, SaysWhatItMadeAndTakesItAwayWhenItCannotGoOn) {
  const TestFolder folder;
  fs::create_directory(folder / "a");
  EXPECT_THAT(make_folder(folder / "a/b/c"), testing::ElementsAre(folder / "a/b", folder / "a/b/c"));
  EXPECT_THAT(make_folder(folder / "a/b/c/"), testing::IsEmpty());
  EXPECT_THAT(io_error([&] { make_folder(folder / "new/" + std::string(300, 'n')); }), HasSubstr("File name too long"));
  EXPECT_FALSE(fs::exists(folder / "new"));
}

TEST(StageFolder, ASetTakesItsPlacesAsAWholeOrNotAtAll) {
  const TestFolder folder;
  folder.write("a", "older");
  fs::create_directories(folder / "empty");
  fs::create_directories(folder / "full");
  folder.write("full/x", "x");
  {
    const StageFolder stage(folder.path());
    const auto write = [&](const std::string& name) {
      stage.write(name, [](const std::string& path) { write_file(path, "newer"); });
    };
    for (const char* name : {"a", "b", "full"}) write(name);
    fs::create_directory(stage.staged("empty"));
    write("empty/inside");
    fs::create_directory(stage.staged("new"));
    write("new/inside");
    // A file does not take the place of a folder: what was moved before goes back.
    EXPECT_THAT(io_error([&] { stage.move_all({"a", "b", "empty", "new", "absent", "full"}); }), HasSubstr("absent'"));
    EXPECT_EQ(read_file(folder / "a"), "older");
    EXPECT_FALSE(fs::exists(folder / "b"));
    EXPECT_FALSE(fs::exists(folder / "new"));
    EXPECT_TRUE(fs::is_empty(folder / "empty"));
    stage.move_all({"a", "b", "empty", "new"});
  }
  for (const char* name : {"a", "b", "empty/inside", "new/inside"})
    EXPECT_EQ(read_file(folder / name), "newer") << name;
  EXPECT_EQ(read_file(folder / "full/x"), "x");
  EXPECT_EQ(folder.entries(), 5U);
}

TEST(FolderLock, OnlyOneProcessWorksInAFolder) {
  const TestFolder folder;
  {
    const FolderLock lock(folder.path());
    EXPECT_THAT(io_error([&] { FolderLock again(folder.path()); }), HasSubstr("another process works in it"));
    const pid_t child = ::fork();
    if (child == 0) {
      try {
        const FolderLock other(folder.path());
      } catch (const vene::IoError&) {
        ::_exit(7);
      }
      ::_exit(0);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    EXPECT_EQ(WEXITSTATUS(status), 7);
  }
  EXPECT_EQ(folder.entries(), 0U);
  folder.write(".vene-lock", "");  // of a process that was killed
  const FolderLock next(folder.path());
}

TEST(TemporaryFolder, WhatAKilledProcessLeftBehindGoesWithTheNextOfItsName) {
  const TestFolder folder;
  fs::create_directory(folder / "vene-x-abcdef");
  folder.write("vene-x-abcdef/half", "x");
  fs::create_directory(folder / "vene-y-abcdef");
  fs::create_directory(folder / "vene-x-ofmine");
  const int living = ::open((folder / "vene-x-ofmine").c_str(), O_RDONLY | O_DIRECTORY);
  ASSERT_EQ(::flock(living, LOCK_EX), 0);
  const char* before = std::getenv("TMPDIR");
  const std::string kept = before == nullptr ? "" : before;
  ::setenv("TMPDIR", folder.path().c_str(), 1);
  {
    const TemporaryFolder first("vene-x"), second("vene-x");
    EXPECT_TRUE(fs::exists(first.path()));
    EXPECT_TRUE(fs::exists(second.path()));
    EXPECT_EQ(folder.entries(), 4U);
  }
  before == nullptr ? ::unsetenv("TMPDIR") : ::setenv("TMPDIR", kept.c_str(), 1);
  EXPECT_FALSE(fs::exists(folder / "vene-x-abcdef"));
  EXPECT_EQ(folder.entries(), 2U);
  ::close(living);
}

}  // namespace
