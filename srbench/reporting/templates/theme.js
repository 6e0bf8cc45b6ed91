// Light or dark colours: the button overrides the system's setting.
const dark = matchMedia("(prefers-color-scheme: dark)");
const themeButton = document.getElementById("theme");
const themed = document.documentElement.dataset;
const markTheme = () => themeButton.setAttribute("aria-pressed", themed.theme ? themed.theme === "dark" : dark.matches);
themeButton.addEventListener("click", () => {
  themed.theme = themeButton.getAttribute("aria-pressed") === "true" ? "light" : "dark";
  markTheme();
});
dark.addEventListener("change", markTheme);
markTheme();
