// SPDX-License-Identifier: Apache-2.0
// `vene trace`: figures against plain PyTorch, files that programs read, pictures and maps that people read.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>

#include "unit/cli/child.h"
#include "vene/viz/heat_map.h"

namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using vene_test::bundled_model;
using vene_test::Outcome;
using vene_test::TestFolder;
using vene_test::vene_command;
using Json = nlohmann::json;
namespace fs = std::filesystem;

const std::string kPrompt = "The Space Needle is in downtown", kSubject = "The Space Needle";
const std::vector<std::string> kStreams{"block_output", "mlp_activation", "attention_output"};

Outcome trace(const std::string& out, const std::vector<std::string>& more = {"--no-picture", "--samples", "1"},
              const std::string& prompt = kPrompt, const std::string& subject = kSubject,
              const vene_test::Surroundings& surroundings = {}) {
  std::vector<std::string> arguments{"trace", "-m", bundled_model(), "-p", prompt, "--subject", subject, "-o", out};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return vene_command(arguments, surroundings);
}

// Rows of fields, by RFC 4180.
std::vector<std::vector<std::string>> parse_csv(const std::string& text) {
  std::vector<std::vector<std::string>> rows{{""}};
  bool quoted = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quoted && c == '"' && i + 1 < text.size() && text[i + 1] == '"') {
      rows.back().back() += text[++i];
    } else if (c == '"') {
      quoted = !quoted;
    } else if (!quoted && c == ',') {
      rows.back().emplace_back();
    } else if (!quoted && c == '\n') {
      rows.push_back({""});
    } else {
      rows.back().back() += c;
    }
  }
  rows.pop_back();
  return rows;
}

void expect_case(const Json& wanted, const Json& got) {
  EXPECT_EQ(got["target_id"], wanted["target_id"]);
  EXPECT_EQ(got["subject_positions"], wanted["subject_positions"]);
  EXPECT_NEAR(got["noise"].get<double>(), wanted["noise"].get<double>(), 1e-6);
  EXPECT_NEAR(got["clean"].get<double>(), wanted["clean"].get<double>(), 1e-5);
  EXPECT_NEAR(got["corrupted"].get<double>(), wanted["corrupted"].get<double>(), 1e-5);
  ASSERT_EQ(got["streams"].size(), 3U);
  for (std::size_t s = 0; s < 3; ++s) {
    const Json& table = wanted["streams"][kStreams[s]];
    EXPECT_EQ(got["streams"][s]["component"], kStreams[s]);
    ASSERT_EQ(got["streams"][s]["probability"].size(), table.size());
    for (std::size_t layer = 0; layer < table.size(); ++layer) {
      for (std::size_t position = 0; position < table[layer].size(); ++position) {
        EXPECT_NEAR(got["streams"][s]["probability"][layer][position].get<double>(),
                    table[layer][position].get<double>(), 1e-5)
            << kStreams[s] << " " << layer << " " << position;
      }
    }
  }
}

TEST(Trace, FiguresAreThoseOfPlainPyTorch) {
  const TestFolder folder;
  const Json golden = Json::parse(vene_test::read_text(vene_test::source_path("tests/golden/trace/trace.json")));
  const Outcome paper = trace(folder / "paper", {"--no-picture", "--json", "--noise", "0.13462981581687927", "--seed",
                                                 "1", "--samples", "1", "--window", "10"});
  ASSERT_EQ(paper.status, 0) << paper.err;
  EXPECT_EQ(paper.out, vene_test::read_text(folder / "paper/trace.json"));
  expect_case(golden[0], Json::parse(paper.out));
  const Outcome averaged =
      trace(folder / "averaged", {"--no-picture", "--json", "--seed", "5", "--samples", "3", "--window", "3"});
  ASSERT_EQ(averaged.status, 0) << averaged.err;
  expect_case(golden[1], Json::parse(averaged.out));
}

TEST(Trace, WritesATableThatPlainReadersRead) {
  const TestFolder folder;
  const std::string prompt = "The \"Needle\", it is\nin downtown";
  ASSERT_EQ(trace(folder / "out", {"--no-picture", "--samples", "1"}, prompt, "Needle").status, 0);
  const std::string text = vene_test::read_text(folder / "out/trace.csv");
  EXPECT_TRUE(text.starts_with("stream,layer,position,token,probability\n"));
  const auto rows = parse_csv(text);
  const Json json = Json::parse(vene_test::read_text(folder / "out/trace.json"));
  const std::size_t tokens = json["tokens"].size();
  ASSERT_EQ(rows.size(), 1 + 3 * 6 * tokens);
  for (std::size_t i = 1; i < rows.size(); ++i) {
    ASSERT_EQ(rows[i].size(), 5U);
    const std::size_t position = std::stoul(rows[i][2]), layer = std::stoul(rows[i][1]),
                      stream = (i - 1) / (6 * tokens);
    EXPECT_EQ(rows[i][0], kStreams[stream]);
    EXPECT_EQ(rows[i][3], json["tokens"][position]);
    EXPECT_NEAR(std::stod(rows[i][4]), json["streams"][stream]["probability"][layer][position].get<double>(), 1e-8);
  }
  std::string whole;
  for (const auto& token : json["tokens"]) whole += token.get<std::string>();
  EXPECT_EQ(whole, prompt);
}

TEST(Trace, BytesOfACutCharacterStayValidUtf8) {
  const TestFolder folder;
  const Outcome outcome =
      trace(folder / "out", {"--no-picture", "--samples", "1"}, "Zo\xC3\xAB \xE2\x80\x94 is in downtown", "Zo\xC3\xAB");
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_NO_THROW((void)Json(vene_test::read_text(folder / "out/trace.csv")).dump());
  EXPECT_NO_THROW((void)Json(outcome.out).dump());
}

TEST(Trace, ItsRecordIsEnoughToRepeatIt) {
  const TestFolder folder;
  ASSERT_EQ(trace(folder / "out", {"--no-picture", "--samples", "2", "--seed", "9", "--window", "3", "--streams",
                                   "block_output,mlp_output"})
                .status,
            0);
  const Json record = Json::parse(vene_test::read_text(folder / "out/trace.json"));
  EXPECT_EQ(record["target"], " Seattle");
  EXPECT_EQ(record["dtype"], "float32");
  std::string streams;
  for (const Json& stream : record["streams"])
    streams += (streams.empty() ? "" : ",") + stream["component"].get<std::string>();
  const auto text = [&](const char* key) { return record[key].get<std::string>(); };
  const Outcome again = vene_command({"trace",
                                      "-m",
                                      text("model"),
                                      "-p",
                                      text("prompt"),
                                      "--subject",
                                      text("subject"),
                                      "--target",
                                      text("target"),
                                      "--noise",
                                      record["noise"].dump(),
                                      "--seed",
                                      record["seed"].dump(),
                                      "--samples",
                                      record["samples"].dump(),
                                      "--streams",
                                      streams,
                                      "--window",
                                      record["streams"][1]["window"].dump(),
                                      "--dtype",
                                      text("dtype"),
                                      "--no-picture",
                                      "--json",
                                      "-o",
                                      folder / "again"});
  ASSERT_EQ(again.status, 0) << again.err;
  EXPECT_EQ(Json::parse(again.out), record);
}

TEST(Trace, AnotherTargetIsFollowedByItsFirstToken) {
  const TestFolder folder;
  ASSERT_EQ(trace(folder / "out", {"--no-picture", "--samples", "1", "--target", "Rome"}).status, 0);
  const Json record = Json::parse(vene_test::read_text(folder / "out/trace.json"));
  EXPECT_EQ(record["target"], " Rome");
  EXPECT_LT(record["clean"].get<double>(), 0.01);
}

TEST(Trace, PrintsNumbersAndAMapWithoutEscapesIntoAPipe) {
  const TestFolder folder;
  const Outcome outcome = trace(folder / "out");
  EXPECT_THAT(outcome.err, IsEmpty());
  EXPECT_TRUE(outcome.out.starts_with("\"The Space Needle is in downtown\" -> \" Seattle\": clean 0.999, corrupted "));
  EXPECT_THAT(outcome.out, HasSubstr("\n Needle* |"));
  EXPECT_THAT(outcome.out, HasSubstr("\ndowntown |"));
  EXPECT_THAT(outcome.out, HasSubstr("\n          0 1 2 3 4 5  restored layer\n"));
  EXPECT_THAT(outcome.out,
              HasSubstr("numbers: " + (folder / "out/trace.csv") + ", " + (folder / "out/trace.json") + "\n"));
  EXPECT_THAT(outcome.out, testing::Not(HasSubstr("\x1b")));
}

TEST(Trace, ATerminalGetsColourAndProgressWithTheTimeLeft) {
  if (vene_test::shell("command -v script").status != 0) GTEST_SKIP() << "the program script (util-linux) is absent";
  const TestFolder folder;
  const std::string command = vene_test::program_path("vene") + " trace -m " + bundled_model() + " -p \"" + kPrompt +
                              "\" --subject Needle --no-picture --samples 40 -o " + (folder / "out");
  const Outcome outcome =
      vene_test::shell("script -qec '" + command + "' /dev/null",
                       {.environment = {{"TERM", "xterm-256color"}, {"COLORTERM", "truecolor"}, {"NO_COLOR", ""}}});
  EXPECT_EQ(outcome.status, 0);
  EXPECT_THAT(outcome.out, HasSubstr("\x1b[48;2;"));
  EXPECT_THAT(outcome.out, HasSubstr("tracing ["));
  EXPECT_THAT(outcome.out, HasSubstr(" s left"));
  const Outcome plain =
      vene_test::shell("script -qec '" + command + "' /dev/null", {.environment = {{"NO_COLOR", "1"}}});
  EXPECT_THAT(plain.out, testing::Not(HasSubstr("\x1b[48;2;")));
  EXPECT_THAT(plain.out, testing::Not(HasSubstr("\x1b[48;5;")));
  const Outcome older = vene_test::shell("script -qec '" + command + "' /dev/null",
                                         {.environment = {{"TERM", "xterm-256color"}, {"COLORTERM", std::nullopt}}});
  EXPECT_THAT(older.out, HasSubstr("\x1b[48;5;"));
  EXPECT_THAT(older.out, testing::Not(HasSubstr("\x1b[48;2;")));
}

TEST(Trace, TheUsualWindowSuitsTheModelAndAWideOneWarns) {
  const TestFolder folder;
  const Outcome usual = trace(folder / "usual");
  EXPECT_THAT(usual.err, IsEmpty());
  EXPECT_THAT(usual.out,
              HasSubstr("\nwindow: 1 of 6 layers, a fifth, for mlp_activation, attention_output (--window N)\n"));
  EXPECT_EQ(Json::parse(vene_test::read_text(folder / "usual/trace.json"))["streams"][1]["window"], 1);
  const Outcome wide = trace(folder / "wide", {"--no-picture", "--samples", "1", "--window", "10"});
  EXPECT_EQ(wide.status, 0);
  EXPECT_EQ(wide.err,
            "vene: warning: a window of 10 restores all 6 layers together, so the columns of its maps hardly differ; "
            "--window 1 suits this model\n");
  EXPECT_THAT(wide.out, testing::Not(HasSubstr("a fifth")));
  const Outcome half = trace(folder / "half", {"--no-picture", "--samples", "1", "--window", "3"});
  EXPECT_THAT(half.err, HasSubstr("a window of 3 restores half of the 6 layers or more together"));
  EXPECT_THAT(trace(folder / "two", {"--no-picture", "--samples", "1", "--window", "2"}).err, IsEmpty());
  EXPECT_THAT(
      trace(folder / "one", {"--no-picture", "--samples", "1", "--window", "10", "--streams", "block_output"}).err,
      IsEmpty());
}

TEST(Trace, ASubjectThatOccursTwiceHasToBeToldApart) {
  const TestFolder folder;
  const std::string prompt = "The Space Needle: the Space Needle is in downtown";
  const auto positions = [&](const std::string& occurrence) {
    const Outcome outcome =
        trace(folder / "out", {"--no-picture", "--samples", "1", "--json", "--occurrence", occurrence}, prompt,
              "Space Needle");
    EXPECT_EQ(outcome.status, 0) << outcome.err;
    return Json::parse(outcome.out)["subject_positions"].get<std::vector<int>>();
  };
  const Outcome refused = trace(folder / "out", {"--no-picture", "--samples", "1"}, prompt, "Space Needle");
  EXPECT_EQ(refused.status, 1);
  EXPECT_THAT(refused.err,
              HasSubstr("subject: 'Space Needle' occurs 2 times in the prompt; give the occurrence that is "
                        "meant, 0 to 1 (-1 is the last)"));
  EXPECT_EQ(positions("0"), (std::vector<int>{1, 2}));
  EXPECT_EQ(positions("1"), positions("-1"));
  EXPECT_GT(positions("1")[0], 2);
  const Outcome beyond = trace(folder / "out", {"--occurrence", "2"}, prompt, "Space Needle");
  EXPECT_EQ(beyond.status, 1);
  EXPECT_THAT(beyond.err,
              HasSubstr("occurrence: 2 is out of range: 'Space Needle' occurs 2 times in the prompt, counted from 0"));
}

TEST(Trace, ATargetOfSeveralTokensSaysWhichCounts) {
  const TestFolder folder;
  const Outcome outcome = trace(folder / "out", {"--no-picture", "--samples", "1", "--target", " Seattlexyz"});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_THAT(outcome.err,
              HasSubstr("vene: the target ' Seattlexyz' is several tokens, of which the first counts: ' Seattle'\n"));
}

TEST(Trace, ARecurrentModelIsToldWhereToGo) {
  const TestFolder folder;
  const Outcome outcome = vene_command({"trace", "-m", vene_test::source_path("assets/landmarks-gru"), "-p", kPrompt,
                                        "--subject", kSubject, "-o", folder / "out"});
  EXPECT_EQ(outcome.status, 1);
  EXPECT_THAT(outcome.err,
              HasSubstr("causal tracing restores values [batch, pos, feature] of layers, and gru has steps in "
                        "time instead; an experiment with locations of unit \"t\" (vene run) exchanges those"));
  EXPECT_THAT(vene_test::names_below(folder.path()), IsEmpty());
}

TEST(Trace, PicturesComeInTheFormatsAndFilesThatAreAskedFor) {
  if (!vene::gnuplot_available()) GTEST_SKIP() << "gnuplot is absent";
  const TestFolder folder;
  const Outcome pdf = trace(folder / "pdf", {"--samples", "1", "--format", "pdf,svg"});
  ASSERT_EQ(pdf.status, 0) << pdf.err;
  EXPECT_THAT(vene_test::names_below(folder / "pdf"), ElementsAre("trace.csv", "trace.json", "trace.pdf", "trace.svg"));
  EXPECT_THAT(pdf.out, HasSubstr("picture: " + (folder / "pdf/trace.pdf") + ", " + (folder / "pdf/trace.svg") + "\n"));
  const Outcome separate = trace(folder / "separate", {"--samples", "1", "--panels", "separate", "--format", "svg"});
  ASSERT_EQ(separate.status, 0) << separate.err;
  EXPECT_THAT(vene_test::names_below(folder / "separate"),
              ElementsAre("trace-attention_output.svg", "trace-block_output.svg", "trace-mlp_activation.svg",
                          "trace.csv", "trace.json"));
  EXPECT_EQ(trace(folder / "none", {"--format", "jpg"}).status, 2);
  EXPECT_EQ(trace(folder / "none", {"--scale", "corupted"}).status, 2);
}

TEST(Trace, OneScaleServesAllMaps) {
  const TestFolder folder;
  // The legend of each map is its last line but an empty one: lowest, shades, highest.
  const auto ends = [&](const std::string& scale) {
    const Outcome outcome = trace(folder / "out", {"--no-picture", "--samples", "1", "--scale", scale});
    std::set<std::string> lows, highs;
    for (const std::string& line : vene_test::lines_of(outcome.out)) {
      const std::size_t name = line.find("  P(Seattle)");
      if (name == std::string::npos) continue;
      const std::size_t begin = line.find_first_not_of(' ');
      lows.insert(line.substr(begin, line.find(' ', begin) - begin));
      highs.insert(line.substr(line.rfind(' ', name - 1) + 1, name - line.rfind(' ', name - 1) - 1));
    }
    return std::make_pair(lows, highs);
  };
  EXPECT_EQ(ends("own").second.size(), 3U);
  EXPECT_EQ(ends("shared").second.size(), 1U);
  EXPECT_EQ(ends("shared").first.size(), 1U);
  const auto [lows, highs] = ends("corrupted");
  EXPECT_EQ(highs, ends("shared").second);
  ASSERT_EQ(lows.size(), 1U);
  const Json record = Json::parse(vene_test::read_text(folder / "out/trace.json"));
  EXPECT_NEAR(std::stod(*lows.begin()), record["corrupted"].get<double>(), 1e-3);
}

TEST(Trace, AWideMapFitsTheTerminal) {
  const TestFolder folder;
  const Outcome outcome = trace(folder / "out", {"--no-picture", "--samples", "1"}, kPrompt, kSubject,
                                {.environment = {{"COLUMNS", "24"}}});
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("\ndowntown |"));
  EXPECT_THAT(outcome.out, HasSubstr("\n          0 1 2 3 4 5\n          restored layer\n"));
}

// Texts of an SVG by gnuplot, entities undone.
std::vector<std::string> svg_texts(const std::string& svg) {
  std::vector<std::string> texts;
  for (std::size_t at = svg.find("<text>"); at != std::string::npos; at = svg.find("<text>", at + 1)) {
    const std::string inner = svg.substr(at + 6, svg.find("</text>", at) - at - 6);
    std::string text;
    for (std::size_t i = 0; i < inner.size(); ++i) {
      if (inner[i] == '<') {
        i = inner.find('>', i);
      } else {
        text += inner[i];
      }
    }
    for (const auto& [entity, character] : std::vector<std::pair<std::string, std::string>>{
             {"&lt;", "<"}, {"&gt;", ">"}, {"&quot;", "\""}, {"&#39;", "'"}, {"&amp;", "&"}, {"\xC2\xA0", " "}}) {
      for (std::size_t found = text.find(entity); found != std::string::npos; found = text.find(entity, found + 1))
        text.replace(found, entity.size(), character);
    }
    texts.push_back(text);
  }
  return texts;
}

TEST(Trace, DrawsThreeMapsWithStarsOnTheCorruptedTokens) {
  if (!vene::gnuplot_available()) GTEST_SKIP() << "gnuplot is absent";
  const TestFolder folder;
  const Outcome outcome = trace(folder / "out", {"--samples", "1"});
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_THAT(vene_test::names_below(folder / "out"), ElementsAre("trace.csv", "trace.json", "trace.png", "trace.svg"));
  EXPECT_TRUE(vene_test::read_text(folder / "out/trace.png").starts_with("\x89PNG\r\n"));
  const auto texts = svg_texts(vene_test::read_text(folder / "out/trace.svg"));
  for (const char* title : {"block_output restored", "mlp_activation restored", "attention_output restored"})
    EXPECT_THAT(texts, testing::Contains(title));
  for (const char* token : {"The*", "Space*", "Needle*", "is", "in", "downtown"})
    EXPECT_EQ(std::count(texts.begin(), texts.end(), token), 3) << token;
  EXPECT_EQ(std::count(texts.begin(), texts.end(), "P(Seattle)"), 3);
  EXPECT_THAT(texts, testing::Contains(testing::StartsWith(
                         "\"The Space Needle is in downtown\" -> \" Seattle\": clean 0.999, corrupted ")));
}

TEST(Trace, DrawsOddTokensAsTheyAre) {
  if (!vene::gnuplot_available()) GTEST_SKIP() << "gnuplot is absent";
  const TestFolder folder;
  const Outcome outcome = trace(folder / "out", {"--samples", "1", "--streams", "block_output"},
                                "It's <a_b> & {x^2} \\n \"q\" `date` @home Zo\xC3\xAB\t\n\x01 is in downtown", "a_b");
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  const auto texts = svg_texts(vene_test::read_text(folder / "out/trace.svg"));
  for (const char* token : {"_*", "<", ">", "&", "{", "^", "\\", "\"", "`", "@", "\\t", "\\n", "<0x01>", "'s"})
    EXPECT_THAT(texts, testing::Contains(token)) << token;
}

// A percent sign in the label of a tick, a backquote or a dollar sign in a script could mean something to gnuplot.
TEST(Trace, EveryTextReachesGnuplotAsData) {
  if (!vene::gnuplot_available()) GTEST_SKIP() << "gnuplot is absent";
  const TestFolder folder;
  for (const char* text :
       {"100% of 5%d %s", "%", "%% %n %f", "`touch spoilt`", "$(touch spoilt)", "'.system('touch spoilt').'",
        "\nsystem('touch spoilt')", "\"; system \"touch spoilt\"", "VENE_END_OF_DATA", "!touch spoilt"}) {
    const Outcome outcome = trace(folder / "out", {"--samples", "1", "--streams", "block_output"},
                                  std::string("The Needle ") + text + " is", "Needle", {.folder = folder.path()});
    EXPECT_EQ(outcome.status, 0) << outcome.err;
    EXPECT_THAT(outcome.err, IsEmpty()) << text;
    EXPECT_THAT(vene_test::names_below(folder.path()),
                ElementsAre("out", "out/trace.csv", "out/trace.json", "out/trace.png", "out/trace.svg"))
        << text;
    if (std::string(text).find('%') == std::string::npos) continue;
    const auto texts = svg_texts(vene_test::read_text(folder / "out/trace.svg"));
    EXPECT_THAT(texts, testing::Contains("%")) << text;
    std::filesystem::remove_all(folder / "out");
  }
}

TEST(Trace, WithoutGnuplotAllElseIsWritten) {
  const TestFolder folder;
  const Outcome outcome =
      trace(folder / "out", {"--samples", "1"}, kPrompt, kSubject, {.environment = {{"PATH", "/nowhere"}}});
  EXPECT_EQ(outcome.status, 0);
  EXPECT_EQ(
      outcome.err,
      "vene: gnuplot is not on the PATH, so no picture is drawn (install gnuplot-nox); everything else is written\n");
  EXPECT_THAT(vene_test::names_below(folder / "out"), ElementsAre("trace.csv", "trace.json"));
}

TEST(Trace, AGnuplotThatFailsCostsOnlyThePictures) {
  const TestFolder folder;
  fs::create_directory(folder / "bin");
  vene_test::write_text(folder / "bin/gnuplot", "#!/bin/sh\necho 'no terminal of that name' >&2\nexit 1\n");
  fs::permissions(folder / "bin/gnuplot", fs::perms::owner_all);
  const Outcome outcome =
      trace(folder / "out", {"--samples", "1"}, kPrompt, kSubject, {.environment = {{"PATH", folder / "bin"}}});
  EXPECT_EQ(outcome.status, 0);
  EXPECT_THAT(outcome.err, HasSubstr("gnuplot failed: no terminal of that name"));
  EXPECT_THAT(vene_test::names_below(folder / "out"), ElementsAre("trace.csv", "trace.json"));
}

void expect_refused(const TestFolder& folder, const Outcome& outcome, const std::string& what) {
  EXPECT_EQ(outcome.status, 1);
  EXPECT_THAT(outcome.out, IsEmpty());
  EXPECT_THAT(outcome.err, HasSubstr(what));
  EXPECT_EQ(vene_test::lines_of(outcome.err).size(), 1U) << outcome.err;
  EXPECT_THAT(vene_test::names_below(folder.path()), IsEmpty());
}

TEST(Trace, SaysWhatIsWrongAndWritesNothing) {
  const TestFolder folder;
  const std::string tokens = "0:'The' 1:' Space' 2:' Needle' 3:' is' 4:' in' 5:' downtown'";
  expect_refused(folder, vene_command({"trace", "-m", bundled_model(), "-p", kPrompt, "-o", folder / "a/b"}),
                 "which words are noised must be said; the prompt's tokens are " + tokens);
  expect_refused(folder, trace(folder / "out", {}, kPrompt, "Colosseum"),
                 "subject: 'Colosseum' is not in the prompt, whose tokens are " + tokens);
  expect_refused(folder, trace(folder / "out", {}, kPrompt, kPrompt), "it covers the whole prompt");
  expect_refused(folder, trace(folder / "out", {"--streams", "blok_output"}),
                 "no component 'blok_output'; did you mean 'block_output'");
  expect_refused(folder, trace(folder / "out", {"--streams", "block_output,block_output"}),
                 "streams: 'block_output' is given twice");
  expect_refused(folder, trace(folder / "out", {"--streams", "attention_pattern"}),
                 "is not a value [batch, pos, feature] of every layer");
  expect_refused(folder, trace(folder / "out", {"--target", ""}), "does not continue the prompt token by token");
  std::string endless = "The";
  for (int i = 0; i < 200; ++i) endless += " Needle";
  expect_refused(folder, trace(folder / "out", {}, endless, "The"), "positions do not fit the model's 128");
}

TEST(TraceCommand, ManyPromptsAreAveraged) {
  const vene_test::TestFolder folder;
  const std::vector<std::string> arguments{"trace",
                                           "-m",
                                           vene_test::bundled_model(),
                                           "--prompts",
                                           "examples/prompts/landmarks.jsonl",
                                           "--samples",
                                           "1",
                                           "--bootstrap",
                                           "20",
                                           "-o",
                                           folder / "out"};
  const vene_test::Outcome outcome = vene_test::vene_command(arguments);
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_THAT(outcome.out, testing::HasSubstr("9 prompts: clean "));
  EXPECT_THAT(outcome.out, testing::HasSubstr("first subsequent token"));
  const auto lines = vene_test::lines_of(vene_test::read_text(folder / "out/trace.csv"));
  EXPECT_EQ(lines.size(), 1U + 3 * 6 * 6);
  EXPECT_EQ(lines[0], "stream,layer,position,prompts,probability,effect,low,high");
  const auto json = nlohmann::json::parse(vene_test::read_text(folder / "out/trace.json"));
  EXPECT_EQ(json["prompts"].size(), 9U);
  // Early in the subject, late at the last token.
  const auto& effect = json["streams"][0]["effect"];
  EXPECT_GT(effect[5][5].get<double>(), 0.9);
  EXPECT_GT(effect[0][1].get<double>(), effect[5][1].get<double>());
  EXPECT_GT(effect[5][5].get<double>(), effect[5][0].get<double>());
  const auto fails = [&](std::vector<std::string> more, int status, const std::string& why) {
    std::vector<std::string> all{"trace", "-m", vene_test::bundled_model(), "-o", folder / "none"};
    all.insert(all.end(), more.begin(), more.end());
    const vene_test::Outcome failed = vene_test::vene_command(all);
    EXPECT_EQ(failed.status, status) << why;
    EXPECT_THAT(failed.err, testing::HasSubstr(why));
  };
  const std::string file = vene_test::source_path("examples/prompts/landmarks.jsonl");
  fails({}, 2, "give a prompt: --prompt TEXT, --ids 3,14,15 or a file of prompts, --prompts FILE");
  fails({"-p", "The Space Needle", "--prompts", file}, 2, "excludes");
  fails({"-p", "The Space Needle is", "--subject", "Space", "--bootstrap", "5"}, 2, "--bootstrap draws prompts");
  fails({"--prompts", file, "--target", " Rome"}, 1, "--target: is of one prompt; in the file of --prompts each line");
  fails({"--prompts", folder.write("bad.jsonl", "{\"prompt\": \"a b\", \"subject\": \"c\"}\n")}, 1,
        "bad.jsonl line 1: subject: 'c' is not in the prompt");
  EXPECT_FALSE(std::filesystem::exists(folder / "none"));
}

}  // namespace
