"""The parts of `report.html`: what each figure shows, as plain data, and the page that draws it.

Figures are drawn by scripts of our own (page/*.js, 25 KB) as SVG at the page's own width: the
libraries that draw parallel coordinates weigh ten times as much or more, keep their colours in the
dark and shrink their letters on a narrow screen.
"""
