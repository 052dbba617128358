// SPDX-License-Identifier: Apache-2.0
#include "src/viz/gnuplot.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <sstream>

#include "vene/base/error.h"
#include "vene/io/files.h"
#include "vene/io/program.h"
#include "vene/viz/curve.h"
#include "vene/viz/heat_map.h"

namespace vene {
namespace {

namespace fs = std::filesystem;

// Runs gnuplot on a script file; what it says on stderr comes back when it fails.
void run_gnuplot(const std::string& program, const std::string& script_path, const std::string& log_path) {
  const pid_t child = fork();
  if (child < 0) throw IoError("gnuplot: cannot start a process");
  if (child == 0) {
    // By descriptor: what the parent has not written yet of its own standard output stays the parent's.
    const int log = ::open(log_path.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600),
              nowhere = ::open("/dev/null", O_WRONLY);
    if (log < 0 || nowhere < 0 || ::dup2(log, STDERR_FILENO) < 0 || ::dup2(nowhere, STDOUT_FILENO) < 0) _exit(126);
    execl(program.c_str(), program.c_str(), "-d", script_path.c_str(), static_cast<char*>(nullptr));
    _exit(127);
  }
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return;
  std::string log = fs::exists(log_path) ? io::read_file(log_path).substr(0, 300) : "";
  for (char& c : log) c = c == '\n' ? ' ' : c;
  if (log.empty()) {
    log = WIFSIGNALED(status) ? "ended by signal " + std::to_string(WTERMSIG(status))
                              : "ended with status " + std::to_string(WEXITSTATUS(status));
  }
  throw IoError("gnuplot failed: " + log);
}

}  // namespace

bool gnuplot_available() {
  return !io::find_program("gnuplot").empty();
}

std::string gnuplot_string(const std::string& text) {
  std::string result = "'";
  for (char c : text) {
    if (c == '\'') {
      result += "'.\"\\047\".'";
    } else if (c == '\n' || c == '\r' || c == '\t') {
      result += ' ';
    } else {
      result += c;
    }
  }
  return result + "'";
}

double page_scale(double width, double height) {
  constexpr double kWidth = 6.75 * 96, kHeight = 9 * 96;
  return std::min({1.0, kWidth / width, kHeight / height});
}

std::string gnuplot_terminal(const std::string& output, Picture format, std::size_t width, std::size_t height) {
  std::ostringstream text;
  text << "set encoding utf8\nset terminal ";
  // Points in the first, pixels in the second, inches in the third: these look alike.
  if (format == Picture::kPng) {
    text << "pngcairo size " << width << ',' << height << " font 'sans,11'";
  } else if (format == Picture::kSvg) {
    text << "svg size " << width << ',' << height << " font 'sans,14'";
  } else {
    const double scale = page_scale(static_cast<double>(width), static_cast<double>(height));
    text << "pdfcairo size " << scale * static_cast<double>(width) / 96 << "in,"
         << scale * static_cast<double>(height) / 96 << "in font 'sans," << 10.5 * scale << "' linewidth " << scale;
  }
  text << " background '#ffffff'\nset output " << gnuplot_string(output) << '\n';
  return text.str();
}

void draw_with_gnuplot(const std::vector<std::string>& paths,
                       const std::function<std::string(const std::string& output, Picture format)>& make_script) {
  const std::string program = io::find_program("gnuplot");
  if (program.empty()) throw IoError("gnuplot is not on the PATH, so no picture is drawn (install gnuplot-nox)");
  const io::TemporaryFolder temporary("vene-plot");
  const std::string& folder = temporary.path();
  for (const std::string& path : paths) {
    const std::string ending = fs::path(path).extension().string();
    if (ending != ".png" && ending != ".svg" && ending != ".pdf")
      throw IoError(path + ": expected a name ending in .png, .svg or .pdf");
    const std::string picture = folder + "/picture" + ending;
    io::write_file(folder + "/script.gp", make_script(picture, ending == ".svg"   ? Picture::kSvg
                                                               : ending == ".pdf" ? Picture::kPdf
                                                                                  : Picture::kPng));
    run_gnuplot(program, folder + "/script.gp", folder + "/log");
    io::write_file(path, io::read_file(picture));
  }
}

void draw_curve(const std::string& path, const Curve& curve) {
  std::vector<Curve::Line> lines{{curve.name, curve.x, curve.y}};
  lines.insert(lines.end(), curve.others.begin(), curve.others.end());
  draw_with_gnuplot({path}, [&](const std::string& output, Picture format) {
    static constexpr std::array<const char*, 4> kColours{"#3f007d", "#ef3b2c", "#41ab5d", "#4292c6"};
    std::ostringstream text, plot;
    text << gnuplot_terminal(output, format, 720, 420);
    for (std::size_t line = 0; line < lines.size(); ++line) {
      text << "$curve" << line << " << VENE_END_OF_DATA\n";
      for (std::size_t i = 0; i < lines[line].x.size(); ++i)
        text << lines[line].x[i] << ' ' << lines[line].y[i] << '\n';
      text << "VENE_END_OF_DATA\n";
      plot << (line == 0 ? "plot" : ",") << " $curve" << line << " using 1:2 with "
           << (line == 0 ? "lines lw 1.5" : "linespoints lw 1.5 pt 7 ps 0.4") << " lc '"
           << kColours[line % kColours.size()] << "' title " << gnuplot_string(lines[line].name);
    }
    text << (lines.size() > 1 ? "set key top right noenhanced\n" : "unset key\n") << "set grid lc '#dddddd'\nset title "
         << gnuplot_string(curve.title) << " noenhanced\nset xlabel " << gnuplot_string(curve.x_label)
         << " noenhanced\nset ylabel " << gnuplot_string(curve.y_label) << " noenhanced\n"
         << plot.str() << '\n';
    return text.str();
  });
}

}  // namespace vene
