"""The rules of e-CARS and of the CPOM: what an export says, judged; what is declared beside what is recomputed; what falls due.

Pure functions over frames: nothing here reads a file, the log or a clock.
"""
